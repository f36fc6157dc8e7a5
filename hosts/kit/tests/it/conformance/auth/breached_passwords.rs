//! `BreachedPasswords`: the list that is in the program; those over files and services are in their crate.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use saas_auth::{
    BreachedPasswords, CommonPasswords, Password,
    conformance::breached_passwords::{BreachedPasswordsSubject as Subject, LINES, check},
    password::BreachedError,
};

use crate::conformance::broken::assert_noticed;

async fn subject() -> Subject {
    Subject::new(Arc::new(CommonPasswords), None, ())
}

saas_auth::breached_passwords_conformance!(subject);

/// The list, but for one line of the contract; and one that is away.
struct Broken(&'static str, bool);

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.starts_with("nothing") {
            "last asked for Kiwi-Otter-Lantern-93-Moss"
        } else {
            "Broken"
        })
    }
}

#[async_trait]
impl BreachedPasswords for Broken {
    async fn is_breached(&self, password: &Password) -> Result<bool, BreachedError> {
        if self.1 {
            let away = BreachedError::new("the list is away");
            return if self.0.starts_with("a_list_that_cannot") { Ok(false) } else { Err(away) };
        }
        match self.0 {
            line if line.starts_with("what_is_on") => Ok(password.characters() < 30),
            // Some other one's answer.
            line if line.starts_with("each_of_many") => Ok(true),
            _ => CommonPasswords.is_breached(password).await,
        }
    }
}

#[tokio::test]
async fn a_list_that_breaks_a_line_is_noticed() {
    for line in LINES {
        let subject = Subject::new(Arc::new(Broken(line, false)), Some(Arc::new(Broken(line, true))), ());
        assert_noticed(line, check(line, subject)).await;
    }
}
