//! Switching tenants inside a session: by one statement, in races as in peace.

use std::{sync::Arc, time::Duration};

use saas_auth::{
    Auth, AuthenticateError, RefreshError, SessionCredential, SwitchError, Tokens,
    audited::{SESSION_ENTERED, SESSION_LEFT},
};
use saas_core::{
    Actor, Client, PageSize, Role, Secret, TenantId, UserId,
    audit::{AuditAction, AuditFilter, Chain},
};
use saas_kit::testing::{TestSaas, at_once};
use saas_sql::execute;

const DAY: Duration = Duration::from_hours(24);
/// More than a refresh token is forgiven for.
const LATER: Duration = Duration::from_secs(11);

on_both_engines! {
    async fn a_switch_reissues_inside_the_family_and_voids_what_was_given_out_before(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (first, second) = two_tenants(&test).await;
        assert!(test.authenticate(&first).await.is_ok());

        let switched = switch(&test, &first, second).await.expect("she is a member of it");
        assert_eq!((switched.session, switched.tenant), (first.session, second));
        let claims = test.authenticate(&switched).await.expect("the session goes on").claims().clone();
        assert_eq!((claims.tenant_id, claims.ver, claims.roles), (second, 2, vec![Role::Member]));
        assert_eq!(switched.scopes, Role::Member.permissions(), "the role is that of the new tenant");
        assert!(ended(&test, &first).await, "the older access token is refused at once");
        let family = test.family(first.session).await;
        assert_eq!((family.generation, family.session.tenant), (2, second));
        let next = test.refresh(&switched.refresh_token).await.expect("the token is live");
        assert_eq!(next.tenant, second);
        let back = switch(&test, &next, first.tenant).await.expect("she is still a member of the first");
        assert_eq!(test.authenticate(&back).await.expect("it goes on").claims().roles, [Role::Owner]);
    }

    async fn a_foreign_a_closed_and_an_absent_tenant_look_alike_and_leave_the_token_good(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (ada, closed) = two_tenants(&test).await;
        let foreign = test.register("eve@example.com").await.tenant.id;
        let mut tx = test.begin().await;
        let close = "UPDATE saas_tenants SET state = 'suspended' WHERE id = $1";
        assert_eq!(execute!(tx.conn(), close, closed.as_uuid()).expect("the statement is valid"), 1);
        tx.commit().await.expect("the database answers");

        let absent = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("an id");
        for tenant in [foreign, closed, absent] {
            let refused = switch(&test, &ada, tenant).await;
            assert!(matches!(refused, Err(SwitchError::TenantNotFound)), "{refused:?}");
        }
        assert!(test.authenticate(&ada).await.is_ok());
        assert!(test.refresh(&ada.refresh_token).await.is_ok(), "the token was not spent");
    }

    async fn the_answer_to_a_switch_that_was_lost_is_given_again(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (first, second) = two_tenants(&test).await;
        let once = switch(&test, &first, second).await.expect("she is a member of it");
        let again = switch(&test, &first, second).await.expect("the grace is not over");
        assert_eq!(once.refresh_token.expose(), again.refresh_token.expose());
        let elsewhere = switch(&test, &first, first.tenant).await;
        assert!(matches!(elsewhere, Err(SwitchError::MovedOn)), "{elsewhere:?}");
        let family = test.family(first.session).await;
        assert_eq!((family.generation, family.session.version), (2, 2));
    }

    async fn a_used_refresh_token_at_a_switch_ends_its_family_w4(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (first, second) = two_tenants(&test).await;
        let live = test.refresh(&first.refresh_token).await.expect("the token is live");
        test.clock.advance(LATER);
        // It is found also where the tenant is none of theirs.
        let absent = "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("an id");
        let refused = switch(&test, &first, absent).await;
        assert!(matches!(refused, Err(SwitchError::InvalidRefreshToken)), "{refused:?}");
        assert!(ended(&test, &live).await);
        assert!(matches!(test.refresh(&live.refresh_token).await, Err(RefreshError::Invalid)));
        let refused = switch(&test, &live, second).await;
        assert!(matches!(refused, Err(SwitchError::InvalidRefreshToken)), "{refused:?}");
    }

    async fn sixty_four_switches_and_refreshes_of_one_token_move_the_family_on_once_w3(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (first, second) = two_tenants(&test).await;
        let auth = Arc::new(test.saas.auth().clone());
        let answers = at_once(64, |task| {
            let (auth, token) = (Arc::clone(&auth), first.refresh_token.clone());
            async move {
                if task % 2 == 0 {
                    auth.refresh(&anonymous(), &token).await.map_err(SwitchError::from)
                } else {
                    auth.switch(&anonymous(), SessionCredential::RefreshToken(&token), second).await
                }
            }
        })
        .await;
        let mut given = Vec::new();
        for answer in answers {
            match answer {
                Ok(tokens) => given.push(tokens.refresh_token.expose().clone()),
                Err(SwitchError::MovedOn) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(given.len() >= 32, "every refresh is in the grace");
        given.dedup();
        assert_eq!(given.len(), 1, "all got the same successor");
        assert_eq!(test.family(first.session).await.generation, 2);
        let successor = Secret::new(given.remove(0));
        assert!(test.refresh(&successor).await.is_ok(), "and it is live");
    }

    async fn a_switch_that_races_a_sign_out_revives_no_session_w5(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("SQLITE_SYNCHRONOUS", "normal")]).await;
        let (first, second) = two_tenants(&test).await;
        for round in 0..8 {
            let command = saas_auth::SignIn::new(
                saas_core::Email::parse("ada@example.com").expect("an address"),
                Secret::new(saas_kit::testing::PASSWORD.to_owned()),
            );
            let signed_in = test.saas.auth().sign_in(&anonymous(), command.with_tenant(Some(first.tenant))).await;
            let tokens = signed_in.expect("the password is right");
            let (auth, actor) = (Arc::new(test.saas.auth().clone()), test.actor(&tokens).await);
            let answers = at_once(64, |task| {
                let (auth, actor, token) = (Arc::clone(&auth), actor.clone(), tokens.refresh_token.clone());
                async move { one_of_three(&auth, &actor, &token, second, task).await }
            })
            .await;
            assert!(test.family(tokens.session).await.session.revoked_at.is_some(), "round {round}");
            for successor in answers.into_iter().flatten().chain([tokens]) {
                assert!(ended(&test, &successor).await, "round {round}");
                assert!(matches!(test.refresh(&successor.refresh_token).await, Err(RefreshError::Invalid)));
                assert!(switch(&test, &successor, second).await.is_err());
            }
        }
    }

    async fn both_tenants_have_a_switch_in_their_audit_logs(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (first, second) = two_tenants(&test).await;
        switch(&test, &first, second).await.expect("she is a member of it");
        for (action, tenant) in [(SESSION_LEFT, first.tenant), (SESSION_ENTERED, second)] {
            assert_eq!(recorded(&test, action.clone()).await, [(Chain::Tenant(tenant), first.user)], "{action}");
        }
    }

    async fn neither_rotation_nor_a_switch_ever_extends_the_absolute_end(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (first, second) = two_tenants(&test).await;
        let end = test.family(first.session).await.session.absolute_expires_at;
        let mut tokens = first;
        for day in [29, 58, 87] {
            test.clock.advance(29 * DAY);
            let to = if tokens.tenant == second { tokens.tenant } else { second };
            tokens = test.refresh(&tokens.refresh_token).await.expect("it was used in time");
            tokens = switch(&test, &tokens, to).await.expect("she is a member of it");
            assert_eq!(tokens.session_expires_at, end, "on day {day}");
            assert_eq!(test.family(tokens.session).await.session.absolute_expires_at, end);
        }
        assert_eq!(tokens.refresh_expires_at, end);
        test.clock.advance(3 * DAY);
        assert!(test.authenticate(&tokens).await.is_err());
        assert!(test.refresh(&tokens.refresh_token).await.is_err());
    }

    async fn a_role_that_is_lowered_counts_at_the_next_request_and_the_next_refresh_w6(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        assert_eq!(test.actor(&ada).await.user().expect("a user").role, Role::Owner);
        let mut tx = test.begin().await;
        let lower = "UPDATE saas_memberships SET role = 'viewer' WHERE user_id = $1";
        assert_eq!(execute!(tx.conn(), lower, ada.user.as_uuid()).expect("the statement is valid"), 1);
        let changed = saas_auth::Changed::User(ada.user);
        test.saas.auth().note_change(&mut tx, changed).await.expect("the database answers");
        tx.commit().await.expect("the database answers");

        let me = test.actor(&ada).await;
        let me = me.user().expect("a user");
        assert_eq!((me.role, &me.permissions), (Role::Viewer, &Role::Viewer.permissions()));
        let next = test.refresh(&ada.refresh_token).await.expect("she is a member");
        assert_eq!(next.scopes, Role::Viewer.permissions());
    }

    async fn signing_out_everywhere_else_keeps_the_session_that_asks(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let here = test.register("ada@example.com").await.tokens;
        let there = test.sign_in("ada@example.com").await.expect("the password is right");
        let eve = test.register("eve@example.com").await.tokens;
        let me = test.actor(&here).await;
        assert_eq!(test.saas.auth().logout_others(&me).await.expect("she is signed in"), 1);
        assert!(ended(&test, &there).await);
        assert!(test.refresh(&there.refresh_token).await.is_err());
        for tokens in [&here, &eve] {
            assert!(test.authenticate(tokens).await.is_ok());
            assert!(test.refresh(&tokens.refresh_token).await.is_ok());
        }
        assert!(test.saas.auth().logout_others(&anonymous()).await.is_err());
    }
}

/// Switches, refreshes, or, once, signs out.
async fn one_of_three(
    auth: &Auth,
    actor: &Actor,
    token: &Secret<String>,
    to: TenantId,
    task: usize,
) -> Option<Tokens> {
    match task {
        20 => {
            assert!(auth.logout(actor, token).await.expect("the token is theirs"));
            None
        }
        task if task % 2 == 0 => auth.refresh(&anonymous(), token).await.ok(),
        _ => auth.switch(&anonymous(), SessionCredential::RefreshToken(token), to).await.ok(),
    }
}

/// Ada, who owns the tenant of her tokens, and another one that she is a member of.
pub(crate) async fn two_tenants(test: &TestSaas) -> (Tokens, TenantId) {
    let ada = test.register("ada@example.com").await;
    let bob = test.register("bob@example.com").await;
    let mut tx = test.begin().await;
    let join = "UPDATE saas_memberships SET user_id = $1, role = 'member' WHERE user_id = $2";
    let joined = execute!(tx.conn(), join, ada.user.id.as_uuid(), bob.user.id.as_uuid());
    assert_eq!(joined.expect("the statement is valid"), 1);
    tx.commit().await.expect("the database answers");
    (ada.tokens, bob.tenant.id)
}

async fn switch(test: &TestSaas, tokens: &Tokens, to: TenantId) -> Result<Tokens, SwitchError> {
    let by = SessionCredential::RefreshToken(&tokens.refresh_token);
    test.saas.auth().switch(&anonymous(), by, to).await
}

async fn ended(test: &TestSaas, tokens: &Tokens) -> bool {
    matches!(test.authenticate(tokens).await, Err(AuthenticateError::SessionEnded))
}

/// Where an action was recorded, and of which user.
async fn recorded(test: &TestSaas, action: AuditAction) -> Vec<(Chain, UserId)> {
    let filter = AuditFilter { action: Some(action), ..AuditFilter::default() };
    let size = PageSize::new(100).expect("a size");
    let page = test.saas.audit().list(&Actor::system("test"), &filter, None, size).await;
    let rows = page.expect("the database answers").items.into_iter();
    let user = |actor: &str| actor.strip_prefix("user:").and_then(|id| id.parse().ok()).expect("a user");
    rows.map(|row| (row.entry.chain, user(&row.entry.actor))).collect()
}

fn anonymous() -> Actor {
    Actor::anonymous(None, Client::default())
}
