//! Enums whose values each stand for one text.

/// Defines an enum with the text of each value beside it, `ALL` values in their order, and a function of the given name
/// that gives the text.
macro_rules! enum_with_texts {
    (
        $(#[$enum_meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$meta:meta])* $value:ident = $text:literal,)+
        }

        $(#[$text_meta:meta])*
        fn $function:ident;
    ) => {
        $(#[$enum_meta])*
        $vis enum $name {
            $($(#[$meta])* $value,)+
        }

        impl $name {
            #[allow(dead_code, reason = "not every list is looked through")]
            pub(crate) const ALL: &[Self] = &[$(Self::$value,)+];

            $(#[$text_meta])*
            #[must_use]
            $vis const fn $function(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }
    };
}
