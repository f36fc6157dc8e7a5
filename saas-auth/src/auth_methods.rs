//! How somebody proved who they are, in the words of RFC 8176.

use std::fmt;

/// One thing that proves who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthMethod {
    /// Their password.
    Password,
    /// A one-time code of their authenticator app.
    Otp,
    /// One of their recovery codes. RFC 8176 has no word for a look-up secret; it goes as `kba`, so that who asks for `otp` does not take it
    /// for the app.
    RecoveryCode,
}

impl AuthMethod {
    const ALL: [Self; 3] = [Self::Password, Self::Otp, Self::RecoveryCode];

    /// The word for it in tokens and in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "pwd",
            Self::Otp => "otp",
            Self::RecoveryCode => "kba",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Password => 1,
            Self::Otp => 2,
            Self::RecoveryCode => 4,
        }
    }
}

/// All that somebody proved who they are with.
///
/// ```
/// use saas_auth::{AuthMethod, AuthMethods};
///
/// let methods = AuthMethods::of(AuthMethod::Password);
/// assert_eq!((methods.amr(), methods.acr()), (vec!["pwd"], "aal1"));
/// let methods = methods.and(AuthMethod::Otp);
/// assert_eq!((methods.amr(), methods.acr()), (vec!["pwd", "otp", "mfa"], "aal2"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthMethods(u8);

impl AuthMethods {
    /// This one alone.
    pub const fn of(method: AuthMethod) -> Self {
        Self(method.bit())
    }

    /// This one, too.
    #[must_use]
    pub const fn and(self, method: AuthMethod) -> Self {
        Self(self.0 | method.bit())
    }

    /// Whether this one is among them.
    pub const fn has(self, method: AuthMethod) -> bool {
        self.0 & method.bit() != 0
    }

    /// Whether a second factor is among them.
    pub const fn has_second_factor(self) -> bool {
        self.has(AuthMethod::Otp) || self.has(AuthMethod::RecoveryCode)
    }

    /// The `amr` of tokens: each of them, and `mfa` where there is more than one factor.
    pub fn amr(self) -> Vec<&'static str> {
        let several = self.has(AuthMethod::Password) && self.has_second_factor();
        self.each().map(AuthMethod::as_str).chain(several.then_some("mfa")).collect()
    }

    /// The `acr` of tokens: `aal2` for two factors, else `aal1`, as NIST SP 800-63B counts.
    pub const fn acr(self) -> &'static str {
        if self.has(AuthMethod::Password) && self.has_second_factor() { "aal2" } else { "aal1" }
    }

    /// As it is stored.
    pub fn to_stored(self) -> String {
        self.each().map(AuthMethod::as_str).collect::<Vec<_>>().join(" ")
    }

    /// As it was stored; a word of a newer release proves nothing here.
    pub fn from_stored(words: &str) -> Self {
        let known = |word| AuthMethod::ALL.into_iter().find(|method| method.as_str() == word);
        words.split(' ').filter_map(known).fold(Self(0), Self::and)
    }

    fn each(self) -> impl Iterator<Item = AuthMethod> {
        AuthMethod::ALL.into_iter().filter(move |method| self.has(*method))
    }
}

impl fmt::Debug for AuthMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_stored())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back_and_a_newer_word_proves_nothing() {
        let all = AuthMethods::of(AuthMethod::Password).and(AuthMethod::Otp).and(AuthMethod::RecoveryCode);
        assert_eq!(all.to_stored(), "pwd otp kba");
        assert_eq!(AuthMethods::from_stored("pwd otp kba"), all);
        let newer = AuthMethods::from_stored("pwd iris");
        assert_eq!((newer.amr(), newer.acr(), newer.has_second_factor()), (vec!["pwd"], "aal1", false));
    }

    #[test]
    fn a_second_factor_alone_is_one_factor() {
        let code = AuthMethods::of(AuthMethod::Otp);
        assert_eq!((code.amr(), code.acr()), (vec!["otp"], "aal1"));
        let recovered = AuthMethods::of(AuthMethod::Password).and(AuthMethod::RecoveryCode);
        assert_eq!((recovered.amr(), recovered.acr()), (vec!["pwd", "kba", "mfa"], "aal2"));
    }
}
