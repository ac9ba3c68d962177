//! Enums whose variants are numbers on disk.

/// Declares an enum whose variants stand on disk as the numbers written beside them, forever.
///
/// `ALL` comes from the declaration, so that no variant can be left out of it: readers look
/// tags up in it, and a test compares it with the format document.
macro_rules! on_disk {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $($(#[$of_variant:meta])* $variant:ident = $tag:literal,)+
        }
    ) => {
        $(#[$about])*
        #[repr(u8)]
        pub enum $name {
            $($(#[$of_variant])* $variant = $tag,)+
        }

        impl $name {
            /// All of them, in the order of their tags.
            pub const ALL: [Self; [$($tag),+].len()] = [$(Self::$variant),+];

            /// The on-disk tag.
            pub const fn tag(self) -> u8 {
                self as u8
            }
        }
    };
}
pub(crate) use on_disk;
