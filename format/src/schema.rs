//! Tables: settings, fields, types, as manifest and segments record them.
