//! What the product holds of a user, as one JSON document that is written while it is read.
//!
//! Each domain writes what it holds, a page of rows at a time; whoever asked reads at their own pace, and what is read is not kept. So a
//! document has any length, and takes the room of some rows. What is a secret, or made of one, no domain writes.

use std::mem;

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{ErrorKind, Fault, InternalError, Report, StoreError};

/// How many bytes go out at once, but for a value that is longer.
const CHUNK: usize = 16 * 1024;

/// Why a document was not written to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// Nobody reads it any more.
    #[error("nobody reads the export any more")]
    Abandoned,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that cannot happen.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Fault for ExportError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::Store(error) => error.report(),
            Self::Abandoned | Self::Internal(_) => Report::internal(),
        }
    }
}

/// A JSON object in the making: members, and lists whose items come one by one.
#[derive(Debug)]
pub struct Document {
    out: mpsc::Sender<Vec<u8>>,
    buffer: Vec<u8>,
    /// Whether nothing stands yet in the object or list that is open.
    fresh: bool,
}

impl Document {
    /// The bytes of the document that `write` writes, as they come. One that breaks off ends with why, and is no JSON.
    pub fn written_by(
        write: impl FnOnce(Self) -> BoxFuture<'static, Result<(), ExportError>>,
    ) -> BoxStream<'static, Result<Vec<u8>, ExportError>> {
        let (out, mut chunks) = mpsc::channel(1);
        let writing = write(Self { out, buffer: b"{".to_vec(), fresh: true });
        let written = stream::poll_fn(move |context| chunks.poll_recv(context)).map(Ok);
        let broken = writing.into_stream().filter_map(|done| future::ready(done.err().map(Err)));
        stream::select(written, broken).boxed()
    }

    /// A member of the object that is open.
    pub fn member(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), ExportError> {
        self.name(name)?;
        self.value(value)
    }

    /// Opens a list that is a member of the object that is open.
    pub fn begin_list(&mut self, name: &str) -> Result<(), ExportError> {
        self.name(name)?;
        self.open(b'[');
        Ok(())
    }

    /// An item of the list that is open.
    pub async fn item(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), ExportError> {
        self.separate();
        self.value(value)?;
        self.send_if(CHUNK).await
    }

    /// Closes the list.
    pub fn end_list(&mut self) {
        self.close(b']');
    }

    /// Opens an object that is an item of the list that is open.
    pub fn begin_item(&mut self) {
        self.separate();
        self.open(b'{');
    }

    /// Closes the object.
    pub async fn end_item(&mut self) -> Result<(), ExportError> {
        self.close(b'}');
        self.send_if(CHUNK).await
    }

    /// Ends the document.
    pub async fn end(mut self) -> Result<(), ExportError> {
        self.close(b'}');
        self.send_if(1).await
    }

    fn name(&mut self, name: &str) -> Result<(), ExportError> {
        self.separate();
        self.value(name)?;
        self.buffer.push(b':');
        Ok(())
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), ExportError> {
        serde_json::to_writer(&mut self.buffer, value).map_err(|error| InternalError::new(error).into())
    }

    fn separate(&mut self) {
        if !mem::replace(&mut self.fresh, false) {
            self.buffer.push(b',');
        }
    }

    fn open(&mut self, bracket: u8) {
        self.buffer.push(bracket);
        self.fresh = true;
    }

    fn close(&mut self, bracket: u8) {
        self.buffer.push(bracket);
        self.fresh = false;
    }

    async fn send_if(&mut self, least: usize) -> Result<(), ExportError> {
        if self.buffer.len() < least {
            return Ok(());
        }
        let chunk = mem::take(&mut self.buffer);
        self.out.send(chunk).await.map_err(|_| ExportError::Abandoned)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Asks again until it is done: nothing here waits for anything but itself.
    fn done<T>(mut future: impl Future<Output = T> + Unpin) -> T {
        let mut asked = (0..1_000_000).map(|_| (&mut future).now_or_never());
        asked.find_map(|done| done).expect("it comes to its end")
    }

    async fn sample(mut document: Document, items: usize) -> Result<(), ExportError> {
        document.member("name", "a \"quoted\" name")?;
        document.begin_list("none")?;
        document.end_list();
        document.begin_list("things")?;
        for number in 0..items {
            document.begin_item();
            document.member("number", &number)?;
            document.begin_list("parts")?;
            document.item(&json!({ "text": "x".repeat(1000) })).await?;
            document.item(&number).await?;
            document.end_list();
            document.end_item().await?;
        }
        document.end_list();
        document.end().await
    }

    #[test]
    fn a_document_is_json_and_comes_in_bits() {
        for items in [0, 1, 100] {
            let chunks = Document::written_by(move |document| sample(document, items).boxed());
            let chunks = done(chunks.collect::<Vec<_>>());
            let chunks: Vec<Vec<u8>> = chunks.into_iter().map(Result::unwrap).collect();
            assert!(chunks.iter().all(|chunk| chunk.len() < 2 * CHUNK));
            assert_eq!(chunks.len() > 1, items == 100);
            let document: Value = serde_json::from_slice(&chunks.concat()).unwrap();
            assert_eq!((&document["name"], &document["none"]), (&json!("a \"quoted\" name"), &json!([])));
            let things = document["things"].as_array().unwrap();
            assert_eq!(things.len(), items);
            assert!((0..items).all(|number| things[number]["parts"][1] == json!(number)));
        }
    }

    #[test]
    fn one_that_breaks_off_ends_with_why() {
        let broken = async |mut document: Document| {
            document.member("name", "Ada")?;
            Err(ExportError::Forbidden)
        };
        let chunks = Document::written_by(|document| broken(document).boxed());
        let chunks = done(chunks.collect::<Vec<_>>());
        assert!(matches!(chunks.as_slice(), [Err(ExportError::Forbidden)]));
    }

    #[test]
    fn nothing_is_written_ahead_of_who_reads() {
        let mut chunks = Document::written_by(|document| sample(document, 1_000_000).boxed());
        let first = done(chunks.next()).unwrap().unwrap();
        assert!(first.len() < 2 * CHUNK, "the first bit does not wait for the last");
    }
}
