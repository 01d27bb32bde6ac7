//! What must go and what must stay, as tables.
#![allow(clippy::unwrap_used)]

use super::{names, redact, rules};

#[test]
fn every_pattern_is_well_formed() {
    assert_eq!(rules::well_formed(), (rules::FORMATS_EXPECTED, 6));
    assert!(names::patterns_compile());
}

#[test]
fn secrets_are_taken_out_of_logs_arguments_and_connection_strings() {
    let secrets = [
        (
            "connecting to postgres://app:hunter2secret@db:5432/shop",
            "hunter2secret",
        ),
        ("dsn mysql://app:p/a@ss@db:3306/shop", "p/a@ss"),
        ("redis://:onlypassword@cache:6379/0", "onlypassword"),
        ("https://deploy:t0psecret@git.example/repo.git", "t0psecret"),
        ("password=correcthorse", "correcthorse"),
        ("DB_PASS=correcthorse", "correcthorse"),
        ("password: correcthorse", "correcthorse"),
        ("  db.password: \"correct horse battery\"", "correct horse battery"),
        (
            "2026-11-24T11:00:00Z INFO login user=app password='correct horse' ok",
            "correct horse",
        ),
        ("Server=db;User=app;Password=Sup3rSecret;Timeout=5", "Sup3rSecret"),
        (
            "AccountName=x;AccountKey=abcd1234/EFGH+5678==;EndpointSuffix=core",
            "abcd1234",
        ),
        ("key: password=correcthorse", "correcthorse"),
        (r#"{"level":"info" "client_secret": "abcdef123456"}"#, "abcdef123456"),
        (
            r#"body was {\"user\":\"a\",\"password\":\"correcthorse\"}"#,
            "correcthorse",
        ),
        (r#"env [{"name":"API_TOKEN","value":"abc\"def"}] end"#, r#"abc\"def"#),
        ("- name: API_TOKEN\n  value: abcdefg", "abcdefg"),
        ("Authorization: Bearer abcdefghijklmnop", "abcdefghijklmnop"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
        (
            r#"headers {\"authorization\":\"Bearer abcdefghijklmnop\"}"#,
            "abcdefghijklmnop",
        ),
        ("sent bearer a1B2c3D4e5F6g7H8i9J0k", "a1B2c3D4e5F6g7H8i9J0k"),
        ("AWS key AKIAIOSFODNN7EXAMPLE was used", "AKIAIOSFODNN7EXAMPLE"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "wJalrXUtnFEMI",
        ),
        (
            "token ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        ),
        (
            "hook https://hooks.slack.com/services/T000/B000/abcdefghijklmnop1234",
            "abcdefghijklmnop1234",
        ),
        (
            "charge failed with sk_live_abcdefghijklmnop1234",
            "sk_live_abcdefghijklmnop1234",
        ),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuvw", "AIzaSyA1234567890"),
        ("--token abcdef0123456789", "abcdef0123456789"),
        ("--db-password=abcdef0123456789", "abcdef0123456789"),
        ("session=A1b2C3d4E5f6G7h8I9j0K1", "A1b2C3d4E5f6G7h8I9j0K1"),
        ("GET /x?sig=A1b2C3d4E5f6G7h8I9j0K1&x=1", "A1b2C3d4E5f6G7h8I9j0K1"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
            "MIIE",
        ),
        (
            "2026-11-24T11:00:00.123456789Z MIIEowIBAAKCAQEAabcdefgh\n2026-11-24T11:00:00.123456789Z -----END PRIVATE KEY-----",
            "MIIEowIBAAKCAQEAabcdefgh",
        ),
        (
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
            "dozjgNryP4J3jVmNHl0w5N",
        ),
    ];
    for (text, secret) in secrets {
        let redacted = redact(text);
        assert!(!redacted.text.contains(secret), "{text} -> {}", redacted.text);
        assert!(redacted.count >= 1, "{text}");
    }
}

#[test]
fn secrets_are_taken_out_of_documents_by_their_place() {
    let document = serde_json::json!({
        "kind": "List",
        "items": [
            { "kind": "Pod", "spec": { "containers": [{
                "env": [
                    { "name": "DB_PASSWORD", "value": "in the clear, with spaces" },
                    { "name": "DATABASE_URL", "value": "postgres://app:inurl@db/shop" },
                    { "name": "API_TOKEN", "valueFrom": { "secretKeyRef": { "name": "api-login", "key": "token" } } },
                ],
                "args": ["--api-key", "in-an-argument", "--listen", ":8080"],
            }] } },
            { "kind": "ConfigMap", "data": {
                "client_secret": "in-a-field",
                "application.properties": "spring.datasource.password=in-a-file\nserver.port=8080\n",
                "settings.json": "{\n  \"smtp\": {\"password\": \"in-a-nested-file\"}\n}",
            } },
            { "kind": "Secret", "data": { "anything": "aW4tYS1zZWNyZXQ=" } },
        ],
    });
    let redacted = redact(&document.to_string());
    let secrets = [
        "in the clear",
        "inurl",
        "in-an-argument",
        "in-a-field",
        "in-a-file",
        "in-a-nested-file",
        "aW4tYS1zZWNyZXQ=",
    ];
    for secret in secrets {
        assert!(!redacted.text.contains(secret), "{secret} in {}", redacted.text);
    }
    for kept in [
        "api-login",
        "secretKeyRef",
        "DB_PASSWORD",
        "server.port=8080",
        ":8080",
        "@db/shop",
    ] {
        assert!(redacted.text.contains(kept), "{kept} not in {}", redacted.text);
    }
    assert_eq!(redacted.count, secrets.len());
    assert!(serde_json::from_str::<serde_json::Value>(&redacted.text).is_ok());
}

#[test]
fn what_diagnosis_needs_stays() {
    for text in [
        "KeyError: 'PAYMENT_GATEWAY_URL'",
        "required setting DB_PASSWORD is missing",
        "DB_PASSWORD: not set",
        "environment variable API_TOKEN: required but empty",
        "secret \"database-secret\" not found",
        "couldn't find key password in Secret shop/database",
        "MountVolume.SetUp failed for volume \"kube-api-access-token\"",
        "      DB_PASSWORD:  <set to the key 'password' in secret 'database'>  Optional: false",
        "    SecretName:  database-login",
        "image: registry.example/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "checksum/secret: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "key: 3da541559918a808c2402bba5012f6c60b27661c",
        "uid: 6d97b55f-b6be-4259-b319-19ad03d97746",
        "session: 6d97b55f-b6be-4259-b319-19ad03d97746",
        "key=shop/payment-gateway-7d9f8b6c5d-x2x4z",
        "http://payment-gateway:8080/v1",
        "http://a:80/x?mail=foo@bar.example",
        r#"{"name":"DB_PASSWORD","valueFrom":{"secretKeyRef":{"name":"db","key":"password"}}}"#,
        r#"{"volumes":[{"name":"v","secret":{"secretName":"database-login"}}]}"#,
        r#"{"imagePullSecrets":[{"name":"registry-login"}],"automountServiceAccountToken":false}"#,
        "error: token is expired",
        "SyntaxError: Unexpected token: punc",
        "token: expired",
        "tokens: 1800",
        "max_tokens=4096",
        "invalid password for user app",
        "FATAL: password authentication failed for user \"app\"",
        "password: must be at least eight characters",
        "basic authentication failed",
        "PWD=/app/current",
        "TOKEN_FILE=/var/run/secrets/token",
        "API_TOKEN=/var/run/secrets/token",
        "API_KEY=${API_KEY}",
        "primary key violation: key (id)=(42) already exists",
        "memory: 512Mi, cpu: 500m",
    ] {
        assert_eq!(redact(text).text, text);
    }
}

#[test]
fn redacting_again_changes_nothing() {
    let once = redact("password=correcthorse postgres://a:b@c/d --token abcdef0123456789").text;
    assert_eq!(redact(&once).text, once);
}
