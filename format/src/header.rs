//! The 192 bytes that open every file.
