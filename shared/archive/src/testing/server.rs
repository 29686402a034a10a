//! A real Redis server on a socket of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

pub(crate) struct Server {
    child: Child,
    stream: BufReader<UnixStream>,
    directory: TempDir,
}

impl Server {
    /// Starts a server with these options, and waits until it is ready.
    pub(crate) fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--daemonize", "no", "--logfile", ""])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(directory.path())
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended: {said}");
            said.push_str(&line);
            if line.contains("The server is now ready to accept connections at") {
                break;
            }
        }
        // The log must be read on, or the server would wait for a reader in the end.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let stream = BufReader::new(UnixStream::connect(&socket).unwrap());
        Self { child, stream, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sends a command of words without spaces, and returns the answer; an error fails the test.
    #[track_caller]
    pub(crate) fn run(&mut self, words: &str) -> String {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        self.send(&words)
    }

    #[track_caller]
    pub(crate) fn send(&mut self, words: &[&[u8]]) -> String {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n", word.len()).into_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&command).unwrap();
        let answer = self.answer();
        assert!(!answer.starts_with('-'), "{answer}");
        answer
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let line = line.trim_end();
        match line.split_at(1) {
            ("$", "-1") => String::new(),
            ("$", length) => {
                let mut bytes = vec![0; length.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut bytes).unwrap();
                String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned()
            }
            ("*", "-1") => String::new(),
            ("*", count) => {
                let answers: Vec<_> =
                    (0..count.parse::<usize>().unwrap()).map(|_| self.answer()).collect();
                answers.join("\n")
            }
            ("+" | ":", rest) => rest.to_owned(),
            _ => line.to_owned(),
        }
    }

    /// Waits until this field of `INFO persistence` is as given.
    pub(crate) fn await_info(&mut self, field: &str) {
        while !self.run("INFO persistence").lines().any(|line| line.trim_end() == field) {
            std::thread::yield_now();
        }
    }

    /// Takes a snapshot in the background and returns its bytes.
    pub(crate) fn snapshot(&mut self) -> Vec<u8> {
        self.run("BGSAVE");
        self.await_info("rdb_bgsave_in_progress:0");
        assert!(self.run("INFO persistence").contains("rdb_last_bgsave_status:ok"));
        std::fs::read(self.path("dump.rdb")).unwrap()
    }

    /// Keys in this database, as the server counts them.
    pub(crate) fn keys(&mut self, database: u64) -> u64 {
        self.run(&format!("SELECT {database}"));
        self.run("DBSIZE").parse().unwrap()
    }

    /// Every type in every encoding that the server has, in three databases.
    pub(crate) fn fill(&mut self) {
        self.fill_strings();
        for (count, name) in [(3, "small"), (2000, "large")] {
            for i in 0..count {
                self.run(&format!("RPUSH list:{name} element:{i} {i}"));
                self.run(&format!("SADD set:{name} member:{i}"));
                self.run(&format!("SADD intset:{name} {}", i * 7));
                self.run(&format!("ZADD zset:{name} {i}.25 member:{i}"));
                self.run(&format!("HSET hash:{name} field:{i} value:{i}"));
                self.run(&format!("XADD stream:{name} {}-1 field value:{i} other {i}", i + 1));
            }
        }
        self.run("SADD intset:32 1 70000");
        self.run("SADD intset:64 1 70000 9000000000");
        self.run("ZADD zset:infinite -inf a +inf b 0 c");
        self.run("HSET hash:long field 0123456789012345678901234567890123456789012345678901234567890123456789");
        self.run("PFADD hyperloglog a b c d e f g");
        self.run("GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
        self.run("XGROUP CREATE stream:large readers 0");
        self.run("XGROUP CREATE stream:large idle $");
        self.run("XREADGROUP GROUP readers first COUNT 40 STREAMS stream:large >");
        self.run("XREADGROUP GROUP readers second COUNT 300 STREAMS stream:large >");
        self.run("XACK stream:large readers 1-1 2-1 50-1");
        self.run("XDEL stream:large 100-1 101-1");
        self.send(&[
            b"FUNCTION",
            b"LOAD",
            b"#!lua name=lib\nredis.register_function('f', function() return 1 end)",
        ]);
        self.run("SELECT 3");
        for i in 0..100 {
            self.run(&format!("SET ticket:{i} {i} EX {}", 100_000 + i));
        }
        self.run("SELECT 15");
        self.send(&[b"SET", b"\xff\x00binary\x1b[31m", b"x"]);
        self.send(&[b"SET", &[b'k'; 300], b"y"]);
        self.run("SELECT 0");
    }

    fn fill_strings(&mut self) {
        for (i, value) in
            ["1", "-1", "300", "-40000", "2000000000", "9000000000", "", "x"].iter().enumerate()
        {
            self.send(&[b"SET", format!("string:{i}").as_bytes(), value.as_bytes()]);
        }
        self.send(&[b"SET", b"string:compressed", &[b'a'; 10_000]]);
        self.send(&[b"SET", b"string:compressed-large", "tickets ".repeat(400_000).as_bytes()]);
        let mut numbers = super::damage::Numbers(1);
        let noise: Vec<u8> = (0..12_000).flat_map(|_| numbers.next().to_le_bytes()).collect();
        self.send(&[b"SET", b"string:noise", &noise]);
        self.send(&[b"RPUSH", b"list:nodes", b"small", &noise, &[b'z'; 20_000], b"small"]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
