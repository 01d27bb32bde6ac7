//! An endpoint that speaks chat completions by script: each request is kept, and answered with the next thing of the script.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the endpoint does with one request.
#[derive(Clone, Debug)]
pub enum Act {
    /// A whole answer: content, finish reason, tokens sent and received.
    Answer(String, &'static str, u64, u64),
    /// A refusal in the message's own field.
    Refuse(&'static str),
    /// A status and a body.
    Status(u16, String),
    /// 200 and this body, whatever it is.
    Body(String),
    /// Says nothing until the client goes.
    Hang,
    /// Sends events of a stream that never ends, though none was asked for.
    StreamForever,
    /// Ends the connection in the middle of the answer.
    Break,
}

/// A running endpoint.
pub struct Server {
    /// Its base URL.
    pub url: String,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    /// Starts one. The script's last act is repeated.
    pub async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let seen: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), kept.clone()));
            }
        });
        Self { url, seen }
    }

    /// Bodies of all requests so far.
    pub fn bodies(&self) -> Vec<Value> {
        self.seen
            .lock()
            .expect("seen")
            .iter()
            .map(|(_, body)| body.clone())
            .collect()
    }

    /// Heads of all requests so far, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.seen
            .lock()
            .expect("seen")
            .iter()
            .map(|(head, _)| head.clone())
            .collect()
    }
}

async fn read(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 4096];
    loop {
        let n = stream.read(&mut chunk).await.ok()?;
        if n == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|n| n.trim().parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            return Some((head, serde_json::from_str(body).unwrap_or(Value::Null)));
        }
    }
}

async fn serve(mut stream: TcpStream, script: Vec<Act>, seen: Arc<Mutex<Vec<(String, Value)>>>) {
    while let Some(request) = read(&mut stream).await {
        let act = {
            let mut seen = seen.lock().expect("seen");
            let act = script.get(seen.len()).or(script.last()).cloned();
            seen.push(request);
            act
        };
        let (status, body) = match act.expect("a script with an act") {
            Act::Answer(content, finish, prompt, completion) => (
                200,
                json!({"id": "c", "object": "chat.completion", "created": 1, "model": "scripted",
                    "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}],
                    "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}})
                .to_string(),
            ),
            Act::Refuse(words) => (
                200,
                json!({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": null, "refusal": words}}]})
                    .to_string(),
            ),
            Act::Status(status, body) => (status, body),
            Act::Body(body) => (200, body),
            Act::Hang => {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                return;
            }
            Act::StreamForever => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(b"data: {\"choices\":[{\"delta\":{\"content\":\"and so on \"}}]}\n\n").await.is_ok() {}
                return;
            }
            Act::Break => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\":").await;
                return;
            }
        };
        let answer = format!(
            "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
