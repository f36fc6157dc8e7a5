//! What is somebody else's is not there.

use saas_agents::{AgentsError, ConversationTitle, RunId};
use saas_core::{Actor, Fault, PageSize, entropy::SeededEntropy};
use saas_kit::testing::TestSaas;
use saas_sql::execute;

use super::stage::{Chat, colleague, key, message, messages, rest};

/// How an error looks from outside, and from inside.
fn look(error: &AgentsError) -> String {
    format!("{error} {error:?} {:?}", error.report())
}

/// What somebody gets who tries everything with a conversation and a run.
async fn tries(test: &TestSaas, actor: &Actor, conversation: &str, run: RunId) -> Vec<String> {
    let agents = test.saas.agents();
    let key = key(conversation);
    let title = ConversationTitle::parse("mine").unwrap();
    [
        agents.transcript(actor, &key, 0, 10).await.err(),
        agents.rename(actor, &key, Some(&title)).await.err(),
        agents.rename(actor, &key, None).await.err(),
        agents.remove(actor, &key).await.err(),
        agents.run(actor, run).await.err(),
        agents.follow(actor, run, 0).await.err(),
        agents.follow(actor, run, 99).await.err(),
        agents.cancel(actor, run).await.err(),
    ]
    .into_iter()
    .map(|error| look(&error.expect("it is not theirs")))
    .collect()
}

on_both_engines! {
    async fn strangers_of_both_kinds_find_nothing_as_if_nothing_were_there(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("a secret", "kept").await;
        let nothing = RunId::generate(&*chat.test.clock, &SeededEntropy::new(5));
        let bob = chat.test.register("bob@example.com").await.tokens;
        let bob = chat.test.actor(&bob).await;
        let colleague = colleague(&chat.test, &chat.ada, "eve@example.com").await;
        for stranger in [&bob, &colleague] {
            let tried = tries(&chat.test, stranger, "c", run.id).await;
            assert_eq!(tried, tries(&chat.test, stranger, "nothing", nothing).await);
            assert_eq!(tried, tries(&chat.test, &chat.ada, "nothing", nothing).await);
            // The id of its row is no key.
            assert_eq!(tried, tries(&chat.test, stranger, &run.conversation.to_string(), run.id).await);
            let page = chat.saas().agents().conversations(stranger, None, PageSize::default()).await.unwrap();
            assert!(page.items.is_empty());
        }
        let error = chat.saas().agents().start(&colleague, message("c", "let me in")).await.unwrap_err();
        assert_eq!(look(&error), look(&AgentsError::ConversationNotFound));

        call.answer(" safe");
        assert_eq!(chat.ended(&run).await.answer, "kept safe");
        let after = tries(&chat.test, &colleague, "c", run.id).await;
        assert_eq!(after, tries(&chat.test, &colleague, "nothing", nothing).await);
        assert_eq!(chat.messages().await, ["1 user: a secret", "2 assistant: kept safe"]);
    }

    async fn one_name_in_two_tenants_is_two_conversations(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("ada's secret", "").await;
        call.answer("kept");
        chat.ended(&run).await;
        let bob = chat.test.register("bob@example.com").await.tokens;
        let bob = chat.test.actor(&bob).await;
        let agents = chat.saas().agents().clone();
        let theirs = agents.start(&bob, message("c", "hello")).await.unwrap();
        assert_ne!((theirs.conversation, theirs.tenant), (run.conversation, run.tenant));
        let call = chat.call().await;
        assert_eq!(call.asked(), ["user: hello"], "one tenant's memory is not another's");
        call.answer("Good day.");
        rest(agents.follow(&bob, theirs.id, 0).await.unwrap()).await;
        assert_eq!(messages(chat.saas(), &bob, "c").await, ["1 user: hello", "2 assistant: Good day."]);
        agents.remove(&bob, &key("c")).await.unwrap();
        assert_eq!(chat.messages().await, ["1 user: ada's secret", "2 assistant: kept"]);
        chat.assert_goes_on(&["user: ada's secret", "assistant: kept"]).await;
    }

    async fn a_viewer_reads_and_does_not_write(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let tokens = chat.test.sign_in("ada@example.com").await.unwrap();
        let (run, call, _) = chat.begun("hello", "").await;
        call.answer("Good day.");
        let frames = chat.frames(&run).await;
        let mut tx = chat.test.begin().await;
        assert_eq!(execute!(tx.conn(), "UPDATE saas_memberships SET role = 'viewer'").unwrap(), 1);
        tx.commit().await.unwrap();
        let viewer = chat.test.actor(&tokens).await;

        let agents = chat.saas().agents();
        assert_eq!(messages(chat.saas(), &viewer, "c").await.len(), 2);
        assert_eq!(rest(agents.follow(&viewer, run.id, 0).await.unwrap()).await, frames);
        assert_eq!(agents.conversations(&viewer, None, PageSize::default()).await.unwrap().items.len(), 1);
        for refused in [
            agents.start(&viewer, message("c", "hello")).await.err(),
            agents.start(&viewer, message("new", "hello")).await.err(),
            agents.rename(&viewer, &key("c"), None).await.err(),
            agents.remove(&viewer, &key("c")).await.err(),
            agents.cancel(&viewer, run.id).await.err(),
        ] {
            let error = refused.expect("a viewer may not");
            assert!(matches!(error, AgentsError::Forbidden), "{error:?}");
        }
        assert_eq!(chat.count("SELECT COUNT(*) FROM saas_runs").await, 1);
    }

    async fn nobody_and_the_system_have_no_conversations(engine: TestEngine) {
        let chat = Chat::start(engine).await;
        let agents = chat.saas().agents();
        let run = RunId::generate(&*chat.test.clock, &SeededEntropy::new(5));
        for actor in [Actor::anonymous(None, saas_core::Client::default()), Actor::system("test")] {
            let tried = tries(&chat.test, &actor, "c", run).await;
            assert!(tried.iter().all(|error| *error == look(&AgentsError::Unauthenticated)), "{tried:?}");
            let start = agents.start(&actor, message("c", "hello")).await;
            assert!(matches!(start, Err(AgentsError::Unauthenticated)));
        }
    }

    async fn what_people_say_is_in_no_debug_output(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("xyzzy", "").await;
        call.answer("xyzzy");
        let run = chat.ended(&run).await;
        let transcript = super::stage::transcript(chat.saas(), &chat.ada, "c").await;
        let outputs = [format!("{run:?}"), format!("{:?}", transcript.messages)];
        assert!(outputs.iter().all(|output| !output.contains("xyzzy")), "{outputs:?}");
    }
}
