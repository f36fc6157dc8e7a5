//! The bare server: hyper as `saas-server` has it, and nothing behind it.

use std::{convert::Infallible, net::Ipv4Addr, time::Duration};

use bench::Failure;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpListener;

/// Answers `hello` to everything, on the port that `PORT` names, until it is killed.
pub(crate) fn run() -> Result<(), Failure> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(port))
}

async fn serve(port: u16) -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            builder.serve_connection(TokioIo::new(stream), service).await
        });
    }
}
