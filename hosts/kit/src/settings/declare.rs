//! The form in which the catalogue is written down.

/// Turns the list of settings into the typed record, its half-filled draft and the table that describes both.
///
/// `default` holds in every profile unless `hardened` names another for staging and production. `rule` words what a hardened
/// environment demands beyond that; the demand itself is code in `checks`. `when` says, in words and in code, where the setting has an effect at all.
macro_rules! settings {
    ($($section:ident { $(
        $(#[doc = $doc:literal])+
        $field:ident: $ty:ty = $name:literal {
            default: $default:expr,
            $(hardened: $hardened:expr,)?
            $(range: $range:expr,)?
            $(rule: $rule:literal,)?
            $(when: ($when:literal, $holds:expr),)?
            fix: $fix:literal $(,)?
        }
    )+ })+) => {
        /// The settings of one program, parsed and checked.
        ///
        /// Made by [`Settings::load`] alone; the fields may be changed afterwards by whoever embeds the product and knows better.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(
                $(#[doc = $doc])+
                #[doc = concat!("\n\n`SAAS_", $name, "`")]
                pub $field: $ty,
            )+)+
            pub(super) origins: Vec<Origin>,
            pub(super) warnings: Vec<SettingWarning>,
        }

        impl Settings {
            /// What there is to set, in the order of the documentation.
            #[expect(clippy::large_stack_arrays, reason = "it is a constant: no stack holds it")]
            pub const CATALOGUE: &'static [Setting] = &[$($(Setting {
                name: $name,
                kind: <$ty as SettingValue>::KIND,
                choices: <$ty as SettingValue>::CHOICES,
                section: Section::$section,
                secret: <$ty as SettingValue>::SECRET,
                default: $default,
                hardened: settings!(@last $default $(, $hardened)?),
                range: settings!(@option $($range)?),
                rule: settings!(@option $($rule)?),
                condition: settings!(@option $(Condition { words: $when, holds: $holds })?),
                doc: concat!($($doc),+).trim_ascii(),
                fix: $fix,
                check: |text, range| SettingValue::parse_within(text, range).map(|_: $ty| ()),
                show: |settings| SettingValue::shown(&settings.$field),
            },)+)+];
        }

        /// The settings that could be read so far; an empty slot has a problem to its name or waits for another setting.
        pub(super) struct Draft {
            $($(pub(super) $field: Slot<$ty>,)+)+
        }

        impl Draft {
            pub(super) fn load(loader: &mut Loader<'_>) -> Self {
                let mut catalogue = Settings::CATALOGUE.iter();
                Self { $($($field: catalogue.next().and_then(|setting| loader.take(setting)),)+)+ }
            }

            pub(super) fn complete(self, origins: Vec<Origin>, warnings: Vec<SettingWarning>) -> Option<Settings> {
                Some(Settings { $($($field: self.$field?,)+)+ origins, warnings })
            }
        }
    };
    (@last $first:expr) => { $first };
    (@last $first:expr, $second:expr) => { $second };
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
}
