//! The kubeconfig that kubectl gets: written by the runner from the projected token, the CA and the service's address alone.
//! Nothing that a request, an annotation or an environment variable could add is read.

use std::path::{Path, PathBuf};

use firewatch_core::sandbox::job::TOKEN_DIR;

/// Address of the API server as the kubelet gives it to every pod.
pub struct ApiServer {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl ApiServer {
    /// From the two variables that the kubelet sets; admission refuses any other way to set them.
    pub fn from_environment() -> Option<Self> {
        let host = std::env::var("KUBERNETES_SERVICE_HOST").ok()?;
        let port = std::env::var("KUBERNETES_SERVICE_PORT").ok()?.parse().ok()?;
        Some(Self { host, port })
    }

    /// `https://host:port`, with brackets around IPv6.
    pub fn url(&self) -> String {
        if self.host.contains(':') {
            format!("https://[{}]:{}", self.host, self.port)
        } else {
            format!("https://{}:{}", self.host, self.port)
        }
    }
}

/// Writes it into the command's own folder.
pub fn write(server: &ApiServer, own: &Path) -> std::io::Result<PathBuf> {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "c", "cluster": { "server": server.url(), "certificate-authority": format!("{TOKEN_DIR}/ca.crt") } }],
        "users": [{ "name": "u", "user": { "tokenFile": format!("{TOKEN_DIR}/token") } }],
        "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
        "current-context": "x",
    });
    let path = own.join("kubeconfig");
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}
