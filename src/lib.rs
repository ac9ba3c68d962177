//! Tidestone.
