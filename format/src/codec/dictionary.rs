//! Distinct values and codes for them.
