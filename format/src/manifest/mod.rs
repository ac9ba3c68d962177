//! Edits of the manifest.
