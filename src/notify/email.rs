//! A notice by SMTP, over TLS unless the server is on this host. Plain text, one message, one connection. Called by `deliver`.

use std::time::Duration;

use firewatch_core::notify::routing::Tls as Wanted;
use firewatch_core::notify::{Notice, email};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::config::secret;
use super::deliver::Line;
use super::http::Delivery;

/// For one answer of the server, and for the whole message.
const ANSWER: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);

pub(super) async fn deliver(line: &Line, notice: &Notice) -> Result<Delivery, Delivery> {
    let message = message(line, notice).map_err(|why| Delivery::Never { why })?;
    let transport = transport(line).map_err(Delivery::again)?;
    match tokio::time::timeout(WHOLE, transport.send(message)).await {
        Err(_) => Ok(Delivery::again("no answer in time")),
        Ok(Ok(_)) => Ok(Delivery::Sent),
        // Refused for good, but for a login: a person may have put another password into the file.
        Ok(Err(error)) if error.is_permanent() && !error.to_string().contains("535") => {
            Ok(Delivery::Never { why: error.to_string() })
        }
        Ok(Err(error)) => Ok(Delivery::again(error.to_string())),
    }
}

fn message(line: &Line, notice: &Notice) -> Result<Message, String> {
    let mailbox = |address: &str| {
        address
            .parse::<Mailbox>()
            .map_err(|error| format!("{address}: {error}"))
    };
    let mut builder = Message::builder()
        .from(mailbox(line.channel.from.as_deref().unwrap_or_default())?)
        .subject(email::subject(notice))
        .message_id(Some(email::message_id(notice)))
        .references(email::thread_id(notice))
        .header(ContentType::TEXT_PLAIN);
    for to in &line.channel.to {
        builder = builder.to(mailbox(to)?);
    }
    builder.body(email::body(notice)).map_err(|error| error.to_string())
}

fn transport(line: &Line) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let channel = &line.channel;
    let host = channel.host.clone().unwrap_or_default();
    let parameters = || {
        let mut builder = TlsParameters::builder(host.clone());
        if let Some(path) = &channel.ca_file {
            let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let authority = Certificate::from_pem(&pem).map_err(|error| format!("{}: {error}", path.display()))?;
            builder = builder.add_root_certificate(authority);
        }
        builder.build_rustls().map_err(|error| error.to_string())
    };
    let (usual, tls) = match channel.tls {
        Wanted::Starttls => (587, Tls::Required(parameters()?)),
        Wanted::Implicit => (465, Tls::Wrapper(parameters()?)),
        Wanted::None => (25, Tls::None),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(channel.port.unwrap_or(usual))
        .tls(tls)
        .timeout(Some(ANSWER));
    if let (Some(user), Some(password)) = (&channel.username_file, &channel.password_file) {
        builder = builder.credentials(Credentials::new(secret(user)?, secret(password)?));
    }
    Ok(builder.build())
}
