//! A connection that is encrypted as it has to be and knows who we are.

use std::{io, sync::Arc};

use lettre::transport::smtp::{
    authentication::{Credentials, Mechanism},
    client::AsyncSmtpConnection,
    extension::ClientId,
};
use rustls::{ClientConfig, pki_types::ServerName};
use saas_core::MailError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    SmtpConfig, SmtpTls,
    failure::{Phase, Trouble, failed, lost, reply_failed},
    stream::Stream,
};

/// The longest line and the most lines of a reply that is read before lettre reads (RFC 5321, section 4.5.3.1.5 asks for 512 bytes).
const LINE_MAX: usize = 2_048;
const LINES_MAX: usize = 128;

/// Connects, encrypts and authenticates.
pub(super) async fn connect(
    config: &SmtpConfig,
    tls: &Arc<ClientConfig>,
    hello: &ClientId,
) -> Result<AsyncSmtpConnection, MailError> {
    let tcp = TcpStream::connect((config.host.as_str(), config.port)).await.map_err(|error| lost(&error))?;
    tcp.set_nodelay(true).map_err(|error| lost(&error))?;
    let stream = match config.tls {
        SmtpTls::None => Stream::plain(tcp),
        SmtpTls::Implicit => Stream::encrypted(encrypt(config, tls, tcp).await?),
        SmtpTls::StartTls => {
            let tcp = ask_for_tls(tcp, hello).await?;
            Stream::encrypted(encrypt(config, tls, tcp).await?).greeting()
        }
    };
    let connected = AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello).await;
    let mut connection = connected.map_err(|error| failed(&error, Phase::Greeting))?;
    if let Some((user, password)) = &config.credentials {
        let credentials = Credentials::new(user.expose().clone(), password.expose().clone());
        let known = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
        known.map_err(|error| failed(&error, Phase::Credentials))?;
    }
    Ok(connection)
}

async fn encrypt(
    config: &SmtpConfig,
    tls: &Arc<ClientConfig>,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, MailError> {
    let name =
        ServerName::try_from(config.host.clone()).map_err(|_| MailError::unavailable(Trouble::Name))?;
    let encrypted = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
    // rustls says what is wrong with a certificate, and only that.
    encrypted.map_err(MailError::unavailable)
}

/// Asks the server to go on encrypted (RFC 3207).
///
/// Nothing is read ahead. What somebody on the way puts behind the server's word is so taken for TLS, where it fails, and not for an answer
/// of the server's.
async fn ask_for_tls(mut tcp: TcpStream, hello: &ClientId) -> Result<TcpStream, MailError> {
    expect(&mut tcp, 220).await?;
    say(&mut tcp, &format!("EHLO {hello}\r\n")).await?;
    let offered = expect(&mut tcp, 250).await?;
    if !offered.iter().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(MailError::unavailable(Trouble::NoStartTls));
    }
    say(&mut tcp, "STARTTLS\r\n").await?;
    expect(&mut tcp, 220).await?;
    Ok(tcp)
}

async fn say(tcp: &mut TcpStream, line: &str) -> Result<(), MailError> {
    tcp.write_all(line.as_bytes()).await.map_err(|error| lost(&error))
}

/// The texts of a reply with that code.
async fn expect(tcp: &mut TcpStream, code: u16) -> Result<Vec<String>, MailError> {
    let mut texts = Vec::new();
    while texts.len() < LINES_MAX {
        let line = line(tcp).await.map_err(|error| lost(&error))?;
        let malformed = || MailError::unavailable(Trouble::Malformed);
        let (head, text) = line.split_at_checked(3).ok_or_else(malformed)?;
        let said: u16 = head.parse().map_err(|_| malformed())?;
        if said != code {
            return Err(reply_failed(said, text));
        }
        texts.push(text.get(1..).unwrap_or_default().to_owned());
        if !text.starts_with('-') {
            return Ok(texts);
        }
    }
    Err(MailError::unavailable(Trouble::Malformed))
}

async fn line(tcp: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while line.len() < LINE_MAX {
        match tcp.read_u8().await? {
            b'\n' => return String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into()),
            byte => line.push(byte),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
