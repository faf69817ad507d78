//! A Redis of a test's own.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::config::Settings;

/// It is on a socket in a directory of its own, and ends with the test.
pub(crate) struct RedisOfTest {
    process: Child,
    directory: tempfile::TempDir,
}

impl RedisOfTest {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory for Redis");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket", "s", "--dir"])
            .arg(directory.path())
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which scripts/setup installs");
        let redis = Self { process, directory };
        let patience = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(redis.socket()).is_err() {
            assert!(Instant::now() < patience, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        redis
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    /// With it as the broker.
    pub fn settings(&self) -> Settings {
        Settings {
            broker_url: format!("redis+socket://{}", self.socket().display()),
            ..Settings::default()
        }
    }
}

impl Drop for RedisOfTest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
