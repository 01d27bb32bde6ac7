//! One headless Chromium, driven by its DevTools protocol over a pipe (no port, no network), that tells all a page did: what it logged,
//! what it asked for, what ran. No name resolves in it, so that nothing leaves this machine whatever a page tries.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running browser with one tab.
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    sent: u64,
    events: Vec<Value>,
}

/// What a page did while it was open.
#[derive(Debug, Default)]
pub struct Visit {
    /// Errors, warnings and whatever else reached the console; dialogs.
    pub complaints: Vec<String>,
    /// Everything that was asked for except the file.
    pub requests: Vec<String>,
    /// Whether anything set `pwned`.
    pub ran: bool,
    /// By how many pixels the page is wider than the screen.
    pub overflow: i64,
    /// Elements in it.
    pub elements: i64,
}

impl Browser {
    /// Starts it, with its profile in that directory.
    pub fn start(profile: &Path) -> Self {
        let program = std::env::var("FIREWATCH_CHROMIUM").expect(
            "FIREWATCH_CHROMIUM names a Chromium: `tests/cluster/prepare chromium`, `eval \"$(tests/cluster/env.sh)\"`",
        );
        let _ = std::fs::remove_dir_all(profile);
        // The pipe is at the descriptors 3 and 4, where only a shell puts it without unsafe code.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, &program])
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-first-run",
                "--disable-gpu",
            ])
            // As root, as in a container, Chromium does not start with its sandbox; the pages are our own.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let commands = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            process,
            commands,
            messages,
            session: None,
            sent: 0,
            events: Vec::new(),
        };
        let tab = browser.ask("Target.createTarget", &json!({ "url": "about:blank" }));
        let session = browser.ask(
            "Target.attachToTarget",
            &json!({ "targetId": tab["targetId"], "flatten": true }),
        );
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Opens a file at that width, leaves a picture of it as a reader finds it, unfolds and presses everything in it, and tells what it did.
    pub fn visit(&mut self, file: &Path, width: u32, picture: Option<&Path>) -> Visit {
        // On a blank page first, so that nothing of the page before is taken for this one's.
        self.open("about:blank");
        self.events.clear();
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
        let url = format!("file://{}", file.display());
        self.open(&url);
        if let Some(path) = picture {
            std::fs::write(path, self.picture()).unwrap();
        }
        let seen = self.evaluate(
            "(async () => {
                const all = [...document.querySelectorAll('*')];
                const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
                for (const one of all) if (one.localName === 'details') one.open = true;
                for (const one of all) for (const kind of ['mouseover', 'focus', 'toggle', 'click'])
                    one.dispatchEvent(new Event(kind, { bubbles: true, cancelable: true }));
                for (const one of document.querySelectorAll('a')) one.click();
                await frame(); await frame();
                const root = document.documentElement;
                return { ran: typeof pwned !== 'undefined', elements: all.length,
                         overflow: Math.max(root.scrollWidth, document.body.scrollWidth) - Math.min(root.clientWidth, WIDTH) };
            })()"
                .replace("WIDTH", &width.to_string())
                .as_str(),
        );
        let mut visit = Visit {
            ran: seen["ran"] == true,
            overflow: seen["overflow"].as_i64().unwrap(),
            elements: seen["elements"].as_i64().unwrap(),
            ..Visit::default()
        };
        for event in &self.events {
            let params = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Page.javascriptDialogOpening" => {
                    visit.complaints.push(params.to_string());
                }
                "Log.entryAdded" => visit.complaints.push(params["entry"]["text"].to_string()),
                "Network.requestWillBeSent" => {
                    let asked = params["request"]["url"].as_str().unwrap_or_default();
                    if asked.split('#').next() != Some(url.as_str()) {
                        visit.requests.push(asked.to_owned());
                    }
                }
                _ => {}
            }
        }
        visit
    }

    /// A picture of the whole page that is open, as PNG.
    fn picture(&mut self) -> Vec<u8> {
        let answer = self.ask(
            "Page.captureScreenshot",
            &json!({ "format": "png", "captureBeyondViewport": true }),
        );
        let bytes: k8s_openapi::ByteString = serde_json::from_value(answer["data"].clone()).unwrap();
        bytes.0
    }

    fn open(&mut self, url: &str) {
        let before = self.events.len();
        let answer = self.ask("Page.navigate", &json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        let end = Instant::now() + PATIENCE;
        while !self.events[before..]
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            self.receive(end, url);
        }
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.ask(
            "Runtime.evaluate",
            &json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }),
        );
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Sends a command and waits for its answer; what comes in between is kept.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.receive(end, method);
            if answer["id"] == self.sent {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    fn receive(&mut self, end: Instant, what: &str) -> Value {
        let message = self
            .messages
            .recv_timeout(end.saturating_duration_since(Instant::now()))
            .unwrap_or_else(|error| panic!("the browser does not answer {what}: {error}"));
        if message.get("id").is_none() {
            self.events.push(message.clone());
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
