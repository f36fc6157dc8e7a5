//! The product with an event log of one's own: `cargo run -p own-store`. What an agent says goes to a plain file, and from there to
//! whoever follows it.

use std::{error::Error, sync::Arc};

use own_store::FileEventLog;
use saas_agents::StartRun;
use saas_core::{Actor, Client, Email, Secret, TenantName};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
};
use saas_tenancy::Register;
use tokio::{
    io::{AsyncWriteExt, stdout},
    sync::Notify,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("own-store-{}", std::process::id()));
    let events = FileEventLog::open(folder.join("events"))?;
    let settings =
        Settings::load(&Sources::empty().with_flags([("DATA_DIR", folder.display().to_string())]))?;
    let blueprint = Saas::builder(settings).event_log(Arc::new(events.clone())).build()?;
    blueprint.migrate().await?;
    let saas = blueprint.open().await?;

    let stop = Arc::new(Notify::new());
    let (workers, stopped) = (saas.clone(), Arc::clone(&stop));
    let workers = tokio::spawn(async move { workers.run_workers(stopped.notified()).await });
    ask(&saas, &events).await?;
    stop.notify_one();
    workers.await?;
    saas.close().await;
    Ok(())
}

/// Registers somebody, asks an agent, and prints the answer and where its events are.
async fn ask(saas: &Saas, events: &FileEventLog) -> Result<(), Box<dyn Error>> {
    let password = Secret::new("correct horse battery".to_owned());
    let command = Register::new(Email::parse("ada@example.com")?, password, TenantName::parse("Engines")?);
    let registered = saas.tenancy().register(&Actor::system("own-store"), command).await?;
    let token = registered.tokens.access_token.expose();
    let ada = saas.auth().authenticate(token, None, Client::default()).await?.actor;

    let run = saas.agents().start(&ada, StartRun::new("What is 6 * 7?")).await?;
    let mut said = saas.agents().follow(&ada, run.id, 0).await?;
    let mut out = stdout();
    while let Some(event) = said.next().await? {
        let frame: serde_json::Value = serde_json::from_str(&event.data)?;
        out.write_all(frame["chunk"].as_str().unwrap_or_default().as_bytes()).await?;
        out.flush().await?;
    }
    let file = events.path(&run.id.topic());
    out.write_all(format!("\n{}\n", file.display()).as_bytes()).await?;
    out.flush().await?;
    Ok(())
}
