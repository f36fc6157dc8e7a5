//! Listing, naming, remembering and removing conversations.

use std::time::Duration;

use saas_agents::{AgentsError, ConversationTitle, Finish, Item, RunStatus};
use saas_core::{Cursor, PageSize};
use saas_kit::testing::TestSaas;

use super::stage::{
    Chat, ask, colleague, key, message, messages, rest, transcript, until_said, while_time_passes,
};

/// Every row that a conversation has.
const ROWS: &str = "SELECT (SELECT COUNT(*) FROM saas_conversations) + (SELECT COUNT(*) FROM saas_messages) \
    + (SELECT COUNT(*) FROM saas_memory_items) + (SELECT COUNT(*) FROM saas_runs) + (SELECT COUNT(*) FROM saas_events)";

on_both_engines! {
    async fn a_list_is_paged_from_the_last_changed_on_without_gap_or_repeat(engine: TestEngine) {
        const CONVERSATIONS: usize = 23;
        let test = TestSaas::start(engine).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let ada = test.actor(&tokens).await;
        let agents = test.saas.agents();
        // Several within one moment, and fractions of a second of every length.
        let pauses = [0, 0, 1, 1_000, 1_000_000, 250_000].map(Duration::from_micros);
        for number in 0..CONVERSATIONS {
            let run = ask(&test.saas, &ada, &format!("c{number}"), "hello").await;
            rest(agents.follow(&ada, run.id, 0).await.unwrap()).await;
            test.clock.advance(pauses[number % pauses.len()]);
        }
        let run = ask(&test.saas, &ada, "c5", "hello again").await;
        rest(agents.follow(&ada, run.id, 0).await.unwrap()).await;

        for size in [1, 2, 5, 22, 23, 24, 100] {
            let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = agents.conversations(&ada, after.as_ref(), PageSize::new(size).unwrap()).await.unwrap();
                assert!(page.items.len() <= size as usize);
                seen.extend(page.items);
                pages += 1;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(pages, CONVERSATIONS.div_ceil(size as usize));
            let sorted = seen.iter().map(|one| (one.updated_at, one.id.to_string()));
            assert!(sorted.clone().rev().is_sorted() && sorted.clone().count() == CONVERSATIONS, "{size}");
            let mut keys: Vec<&str> = seen.iter().map(|one| one.key.as_str()).collect();
            assert_eq!(keys[0], "c5");
            assert_eq!(seen[0].message_count, 4);
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), CONVERSATIONS);
        }
        let page = agents.conversations(&ada, None, PageSize::new(2).unwrap()).await.unwrap();
        let colleague = colleague(&test, &ada, "bob@example.com").await;
        for (actor, cursor) in [(&colleague, page.next.unwrap()), (&ada, Cursor::new("conversations", "1|2"))] {
            let error = agents.conversations(actor, Some(&cursor), PageSize::default()).await.expect_err("it is another list's");
            assert!(matches!(error, AgentsError::Cursor(_)), "{error:?}");
        }
    }

    async fn a_list_shows_the_beginning_of_the_last_message(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("hello", "").await;
        let preview = async || transcript(chat.saas(), &chat.ada, "c").await.conversation.preview;
        assert_eq!(preview().await, "hello");
        let answer = "é🦀".repeat(100);
        call.answer(&answer);
        rest(chat.follow(&run, 0).await).await;
        assert_eq!(preview().await, "é🦀".repeat(60));
        assert_eq!(chat.run(run.id).await.answer, answer);
    }

    async fn a_conversation_whose_first_message_was_taken_back_is_not_listed(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        drop(chat.take_workers_after_a_run().await);
        let run = chat.ask_in("never begun", "hello").await;
        chat.saas().agents().cancel(&chat.ada, run.id).await.unwrap();
        let page = chat.saas().agents().conversations(&chat.ada, None, PageSize::default()).await.unwrap();
        assert_eq!(page.items.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["c"]);
    }

    async fn a_conversation_is_named_renamed_and_unnamed(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("hello", "").await;
        call.answer("Good day.");
        chat.ended(&run).await;
        let before = transcript(chat.saas(), &chat.ada, "c").await.conversation;
        assert_eq!(before.title, None);
        chat.test.clock.advance(Duration::from_secs(5));
        for title in [Some("Greetings"), Some("日本語"), None, None] {
            let parsed = title.map(|title| ConversationTitle::parse(title).unwrap());
            let named = chat.saas().agents().rename(&chat.ada, &key("c"), parsed.as_ref()).await.unwrap();
            assert_eq!((named.title.as_deref(), named.updated_at), (title, before.updated_at));
            assert_eq!(transcript(chat.saas(), &chat.ada, "c").await.conversation.title.as_deref(), title);
        }
        let missing = chat.saas().agents().rename(&chat.ada, &key("nothing"), None).await;
        assert!(matches!(missing, Err(AgentsError::ConversationNotFound)), "{missing:?}");
    }

    async fn messages_are_read_in_pieces(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        for text in ["one", "two", "three"] {
            let run = chat.ask(text).await;
            chat.call().await.answer("yes");
            chat.ended(&run).await;
        }
        let agents = chat.saas().agents();
        for limit in [0, 1, 4, 5, 6, 7, u32::MAX] {
            let (mut seen, mut after) = (Vec::new(), 0);
            loop {
                let piece = agents.transcript(&chat.ada, &key("c"), after, limit).await.unwrap();
                assert!(piece.messages.len() <= limit.max(1) as usize);
                after = piece.messages.last().unwrap().position;
                seen.extend(piece.messages.into_iter().map(|message| message.position));
                if !piece.more {
                    break;
                }
            }
            assert_eq!(seen, [1, 2, 3, 4, 5, 6], "{limit} at a time");
        }
    }

    async fn what_a_model_gave_is_sent_back_byte_for_byte(engine: TestEngine) {
        const ITEMS: [&str; 4] = [
            r#"{ "type":"reasoning" , "id":"rs_1","summary":[],"encrypted_content":"gAAA\/\u0041" }"#,
            r#"{"type":"later_than_us","n":1.50,"big":12345678901234567890123,"a":{"z":1,"a":[ 2 ]},"nothing":"\u0000"}"#,
            r#"{"id":"msg_1","role":"assistant","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"text":"Good day.","logprobs":[]}],"new":null}"#,
            r#"{"z":1,"a":2,"z":3}"#,
        ];
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("hello", "").await;
        call.item(Item::from_json(ITEMS[0].to_owned()).unwrap());
        call.say("Good day.");
        for item in &ITEMS[1..] {
            call.item(Item::from_json((*item).to_owned()).unwrap());
        }
        call.finish(Finish::Complete);
        chat.ended(&run).await;
        chat.ask("and now?").await;
        let call = chat.call().await;
        let sent: Vec<&str> = call.input.iter().map(Item::as_json).collect();
        assert_eq!(sent[1..5], ITEMS);
        assert_eq!(sent.len(), 6);
        assert_eq!(chat.messages().await[1], "2 assistant: Good day.");
    }

    async fn a_history_over_its_budget_begins_with_a_users_message(engine: TestEngine) {
        // Seven and a half thousand tokens each: four fit, with the answers between them, and so would the answer before them.
        let long = |number: usize| format!("{number}{}", "x".repeat(29_999));
        let mut chat = Chat::start(engine).await;
        for number in 1..=7 {
            let run = chat.ask(&long(number)).await;
            let call = chat.call().await;
            let first = number.saturating_sub(3).max(1);
            let mut expected = Vec::new();
            for earlier in first..number {
                expected.extend([format!("user: {}", long(earlier)), format!("assistant: {earlier}")]);
            }
            expected.push(format!("user: {}", long(number)));
            assert!(call.asked() == expected, "message {number} was not sent with those from {first} on");
            call.answer(&number.to_string());
            chat.ended(&run).await;
        }
        // A message that is over it alone is sent all the same.
        let emojis = "🦀".repeat(32_000);
        chat.ask(&emojis).await;
        assert!(chat.call().await.asked() == [format!("user: {emojis}")]);
    }

    async fn a_removed_conversation_leaves_nothing_for_the_next_one_of_its_name(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        for text in ["one", "two", "three"] {
            let run = chat.ask(text).await;
            chat.call().await.answer("yes");
            chat.ended(&run).await;
        }
        let old = chat.ask("four").await;
        chat.call().await.fail(saas_agents::ModelError::Truncated);
        chat.ended(&old).await;
        chat.saas().agents().remove(&chat.ada, &key("c")).await.unwrap();
        assert_eq!(chat.count(ROWS).await, 0);
        for _ in 0..2 {
            let gone = chat.saas().agents().remove(&chat.ada, &key("c")).await;
            assert!(matches!(gone, Err(AgentsError::ConversationNotFound)), "{gone:?}");
        }
        let gone = chat.saas().agents().follow(&chat.ada, old.id, 0).await.map(drop);
        assert!(matches!(gone, Err(AgentsError::RunNotFound)), "{gone:?}");

        chat.assert_goes_on(&[]).await;
        assert_eq!(chat.messages().await, ["1 user: and now?", "2 assistant: now it works"]);
        let gone = chat.saas().agents().run(&chat.ada, old.id).await;
        assert!(matches!(gone, Err(AgentsError::RunNotFound)), "{gone:?}");
    }

    async fn removing_a_conversation_stops_what_runs_in_it_and_nothing_comes_back(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        for round in 0..10 {
            let (run, call, events) = chat.begun("hello", "Hel").await;
            let waiting = chat.ask("and then").await;
            let followers = [tokio::spawn(rest(events)), tokio::spawn(rest(chat.follow(&waiting, 0).await))];
            // It is being said while it is removed, or was, or will be.
            call.say("lo");
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            chat.saas().agents().remove(&chat.ada, &key("c")).await.unwrap();
            call.say("!");
            call.dropped().await;
            for follower in followers {
                follower.await.unwrap();
            }
            while chat.saas().agents().running() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(chat.count(ROWS).await, 0, "round {round}");
            assert!(chat.saas().agents().run(&chat.ada, run.id).await.is_err());
            // What waited may have had its turn for a moment.
            while chat.calls.try_recv().is_ok() {}
        }
        chat.assert_goes_on(&[]).await;
    }

    async fn removing_a_conversation_on_another_server_stops_what_runs_in_it(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let other = chat.replica(2).await;
        let (_, call, events) = chat.begun("hello", "Hel").await;
        let follower = tokio::spawn(rest(events));
        other.agents().remove(&chat.ada, &key("c")).await.unwrap();
        let mut heard = chat.follow_new("d").await;
        call.say("lo");
        while_time_passes(&chat.test.clock, call.dropped()).await;
        while_time_passes(&chat.test.clock, follower).await.unwrap();
        while chat.saas().agents().running() > 1 {
            tokio::task::yield_now().await;
        }
        let rows = "SELECT (SELECT COUNT(*) FROM saas_events) - (SELECT COUNT(*) FROM saas_events e JOIN saas_runs r \
            ON e.topic = 'run:' || CAST(r.id AS text))";
        if engine == saas_kit::testing::TestEngine::Postgres {
            assert_eq!(chat.count(rows).await, 0, "events without a run");
        }
        let call = chat.call().await;
        call.say("still here");
        until_said(&mut heard, "still here").await;
        call.finish(Finish::Complete);
        assert_eq!(rest(heard).await.len(), 1);
        other.close().await;
    }

    async fn a_removed_name_is_free_for_somebody_else(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (run, call, _) = chat.begun("a secret", "").await;
        call.answer("kept");
        chat.ended(&run).await;
        chat.saas().agents().remove(&chat.ada, &key("c")).await.unwrap();
        let bob = colleague(&chat.test, &chat.ada, "bob@example.com").await;
        let run = chat.saas().agents().start(&bob, message("c", "hello")).await.unwrap();
        let call = chat.call().await;
        assert_eq!(call.asked(), ["user: hello"]);
        call.answer("Good day.");
        rest(chat.saas().agents().follow(&bob, run.id, 0).await.unwrap()).await;
        assert_eq!(messages(chat.saas(), &bob, "c").await, ["1 user: hello", "2 assistant: Good day."]);
    }

    async fn a_chat_without_a_name_gets_one(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let run = chat.saas().agents().start(&chat.ada, saas_agents::StartRun::new("hello")).await.unwrap();
        chat.call().await.answer("Good day.");
        assert_eq!(chat.ended(&run).await.status, RunStatus::Completed);
        let run_key = run.conversation_key.as_str();
        assert_eq!(run_key, run.conversation.to_string());
        let run = chat.ask_in(run_key, "and now?").await;
        assert_eq!(chat.call().await.asked(), ["user: hello", "assistant: Good day.", "user: and now?"]);
        assert_eq!(run.conversation_key.as_str(), run_key);
    }
}
