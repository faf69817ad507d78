//! A data sets server on a local port. It speaks raw TCP, so that it can
//! break off where a well-behaved server cannot.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the server answers a request.
pub enum Answer {
    /// With the rows, in the live shape.
    Live,
    /// With the rows, in the bare shape.
    Bare,
    /// With at most this many rows, in the live shape.
    AtMost(u64),
    /// With this status and `Retry-After`.
    Status(u16, Option<String>),
    /// With the rows, but only after a while.
    Late(Duration),
    /// With a part of the body that it promised.
    Cut,
    /// By hanging up.
    Nothing,
    /// With this body.
    Body(&'static str),
    /// With this page for people.
    Html(&'static str),
}

/// A request for rows.
#[derive(Clone, Debug)]
pub struct Request {
    pub offset: u64,
    pub limit: u64,
    /// 1 for the first request of this offset.
    pub attempt: usize,
    pub at: Instant,
    pub query: HashMap<String, String>,
    pub head: String,
}

type Script = Box<dyn Fn(&Request) -> Answer + Send + Sync>;

/// The server; it stops with the test's runtime.
pub struct Server {
    pub url: String,
    state: Arc<State>,
}

struct State {
    rows: Vec<Value>,
    script: Script,
    requests: Mutex<Vec<Request>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl Server {
    /// Serves these rows, each request as the script says.
    pub async fn start(
        rows: Vec<Value>,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            rows,
            script: Box::new(script),
            requests: Mutex::default(),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(shared.clone().serve(stream));
            }
        });
        Self { url, state }
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The requests of one page so far.
    pub fn requests_at(&self, offset: u64) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.offset == offset);
        requests
    }

    /// How many requests were open at once, at most.
    pub fn most_open(&self) -> usize {
        self.state.most_open.load(Ordering::SeqCst)
    }
}

impl State {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let Some(head) = read_head(&mut stream).await else {
            return;
        };
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        let request = self.note(head);
        let answer = self.answer(&request).await;
        self.open.fetch_sub(1, Ordering::SeqCst);
        // A client that has gone is no matter to a server.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }

    fn note(&self, head: String) -> Request {
        let target = head.split_whitespace().nth(1).unwrap();
        let url = Url::parse(&format!("http://local{target}")).unwrap();
        assert_eq!(url.path(), "/rows");
        let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
        let number = |key: &str| query[key].parse().unwrap();
        let mut requests = self.requests.lock().unwrap();
        let offset = number("offset");
        let request = Request {
            offset,
            limit: number("length"),
            attempt: 1 + requests.iter().filter(|r| r.offset == offset).count(),
            at: Instant::now(),
            query,
            head,
        };
        requests.push(request.clone());
        request
    }

    async fn answer(&self, request: &Request) -> String {
        match (self.script)(request) {
            Answer::Live => ok(&self.live(request.offset, request.limit)),
            Answer::Bare => ok(&self.bare(request.offset, request.limit)),
            Answer::AtMost(most) => ok(&self.live(request.offset, request.limit.min(most))),
            Answer::Status(status, retry_after) => {
                let wait = retry_after.map(|wait| format!("retry-after: {wait}\r\n"));
                let wait = wait.unwrap_or_default();
                format!(
                    "HTTP/1.1 {status} Refused\r\n{wait}connection: close\r\n\
                     content-length: 14\r\n\r\n{{\"error\":\"no\"}}"
                )
            }
            Answer::Late(wait) => {
                tokio::time::sleep(wait).await;
                ok(&self.live(request.offset, request.limit))
            }
            Answer::Cut => {
                let whole = ok(&self.live(request.offset, request.limit));
                whole[..whole.len() / 2].to_owned()
            }
            Answer::Nothing => String::new(),
            Answer::Body(body) => ok(body),
            Answer::Html(body) => ok(body).replace("application/json", "text/html; charset=utf-8"),
        }
    }

    fn slice(&self, offset: u64, limit: u64) -> impl Iterator<Item = (usize, &Value)> {
        let rows = self.rows.iter().enumerate();
        rows.skip(offset as usize).take(limit as usize)
    }

    /// The shape of datasets-server.huggingface.co.
    fn live(&self, offset: u64, limit: u64) -> String {
        let row = |(index, row): (usize, &Value)| match row.get("row_idx") {
            Some(_) => row.clone(),
            None => json!({"row_idx": index, "row": row, "truncated_cells": []}),
        };
        let features = ["input", "output"].map(|name| {
            json!({"feature_idx": 0, "name": name, "type": {"dtype": "string", "_type": "Value"}})
        });
        json!({
            "features": features,
            "rows": self.slice(offset, limit).map(row).collect::<Vec<_>>(),
            "num_rows_total": self.rows.len(),
            "num_rows_per_page": 100,
            "partial": false,
        })
        .to_string()
    }

    fn bare(&self, offset: u64, limit: u64) -> String {
        let rows: Vec<_> = self.slice(offset, limit).map(|(_, row)| row).collect();
        json!({"rows": rows, "total": self.rows.len(), "limit": limit, "offset": offset})
            .to_string()
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
