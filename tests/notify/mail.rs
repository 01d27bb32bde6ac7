//! E-mail: a server on loopback that writes down what it is sent.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::database::with_database;
use crate::world::{World, asked, awaiting, incident};

/// Answers one connection; the first message is put off when told so.
async fn converse(stream: TcpStream, busy: bool, heard: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream);
    lines.get_mut().write_all(b"220 mail.test ESMTP\r\n").await?;
    let (mut line, mut data, mut in_data) = (String::new(), String::new(), false);
    loop {
        line.clear();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer: &[u8] = if in_data {
            if line != ".\r\n" {
                data.push_str(&line);
                continue;
            }
            in_data = false;
            heard.lock().unwrap().push(std::mem::take(&mut data));
            b"250 taken\r\n"
        } else if line.starts_with("DATA") {
            in_data = true;
            b"354 go on\r\n"
        } else if line.starts_with("MAIL") && busy {
            b"451 try again later\r\n"
        } else if line.starts_with("QUIT") {
            b"221 bye\r\n"
        } else {
            b"250 fine\r\n"
        };
        lines.get_mut().write_all(answer).await?;
    }
}

#[tokio::test]
async fn a_mail_is_plain_text_of_one_thread_and_comes_again_when_the_server_was_busy() {
    with_database(async |database| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = heard.clone();
        let server = tokio::spawn(async move {
            let mut busy = true;
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, std::mem::take(&mut busy), kept.clone()));
            }
        });
        let config = format!(
            "channels: [{{name: mail, kind: email, host: 127.0.0.1, port: {port}, tls: none, from: fw@example.com, to: [a@example.com, b@example.com]}}]"
        );
        let world = World::new(database, "", &config);
        let mut one = awaiting(&incident());
        one.spec.title = "broken\r\nBcc: everybody@example.com".into();
        world.relays(&one, &[asked()]).await;
        let sender = world.sends();
        let rows = world.ends().await;
        assert_eq!((rows[0].2.as_str(), rows[0].3), ("sent", 2));
        let mail = heard.lock().unwrap().join("");
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("To: a@example.com, b@example.com"), "{head}");
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        let uid = one.metadata.uid.as_deref().unwrap();
        assert!(head.contains(&format!("References: <{uid}@firewatch.invalid>")), "{head}");
        assert!(head.contains("text/plain"), "{head}");
        let joined = body.replace("=\r\n", "");
        assert!(joined.contains("kubectl patch rap checkout-restarts-"), "{body}");
        sender.stops().await;
        server.abort();
    })
    .await;
}
