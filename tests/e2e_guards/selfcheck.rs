//! `firewatch selfcheck`, which `helm test` runs in the cluster: it passes on a whole installation, and names what is not whole.
//! Here it runs on this host, as the operator's account, so that one thing at a time can be wrong.

use std::process::Command;

use serde_json::Value;

use crate::wire::{OPERATOR, Who, client, groups_of, send};

/// A kubeconfig that asks as the operator does; or as the administrator.
fn kubeconfig(folder: &std::path::Path, account: Option<&str>) -> std::path::PathBuf {
    let own = std::env::var("KUBECONFIG").unwrap();
    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(own).unwrap()).unwrap();
    if let Some(account) = account {
        for user in config["users"].as_array_mut().unwrap() {
            user["user"]["as"] = account.into();
            user["user"]["as-groups"] = groups_of(account).into();
        }
    }
    let path = folder.join(account.map_or("administrator", |_| "operator"));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// Whether it passed, and what it said.
fn selfcheck(kubeconfig: &std::path::Path, image: &str, database: Option<&str>) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firewatch"));
    command
        .arg("selfcheck")
        .env("KUBECONFIG", kubeconfig)
        .env("FIREWATCH_SANDBOX_IMAGE", image)
        .env_remove("DATABASE_URL");
    if let Some(url) = database {
        command.env("DATABASE_URL", url);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_selfcheck_passes_where_all_is_whole_and_names_what_is_not() {
    let client = client().await;
    let path = "/apis/apps/v1/namespaces/firewatch-system/deployments/firewatch";
    let read = crate::wire::Call {
        method: "GET",
        path: path.to_owned(),
        body: Value::Null,
    };
    let deployment = send(&client, Who::Admin, &read).await.unwrap();
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap();
    let image = env.iter().find(|e| e["name"] == "FIREWATCH_SANDBOX_IMAGE").unwrap();
    let image = image["value"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let operator = kubeconfig(folder.path(), Some(OPERATOR));
    let database = std::env::var("DATABASE_URL").ok();

    let (passed, said) = selfcheck(&operator, image, database.as_deref());
    assert!(passed && !said.contains("FAILED"), "{said}");
    assert!(said.contains("an approval that nobody gave is refused"), "{said}");

    for (what, kubeconfig, image, database) in [
        ("guards as compiled in", &operator, "localhost/other:1", None),
        (
            "record",
            &operator,
            image,
            Some("postgres://firewatch:word@127.0.0.1:1/firewatch"),
        ),
    ] {
        let (passed, said) = selfcheck(kubeconfig, image, database);
        assert!(!passed, "{what}: {said}");
        let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("FAILED")).collect();
        assert_eq!(failed.len(), 1, "{what}: {said}");
        assert!(failed[0].contains(what), "{what}: {said}");
    }
    // Whoever holds more than the operator is not the operator: an undecided approval of another is refused, and its rights are told.
    let (passed, said) = selfcheck(&kubeconfig(folder.path(), None), image, None);
    assert!(!passed && said.contains("FAILED  guards in force"), "{said}");
    assert!(
        said.contains("FAILED  no right beyond its own: it may create pods"),
        "{said}"
    );
}
