//! The write timeout of finite replies: hyper waits for ever for a peer that does not read. Viewers have the fan-out's own
//! deadline instead.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::sync::Mutex;

/// The least pace of a slow reply, in bytes a second: a modem's.
const MIN_PACE: f64 = 1024.0;

/// A connection that fails where its peer takes too little for too long. It borrows the connection, so that a request handler
/// can ask meanwhile whether the peer has left: hyper does not read while it holds unread bytes of a further request, and so does
/// not notice.
#[derive(Debug)]
pub(crate) struct WriteTimeout<'a, T> {
    io: &'a Mutex<T>,
    timeout: Duration,
    /// Set while the peer takes less than there is to write.
    slow: Option<SlowWrite>,
}

#[derive(Debug)]
struct SlowWrite {
    since: Instant,
    bytes: usize,
    timer: Pin<Box<Sleep>>,
}

impl<'a, T> WriteTimeout<'a, T> {
    /// Measures the pace of a slow write over each `timeout`.
    pub(crate) fn new(io: &'a Mutex<T>, timeout: Duration) -> Self {
        Self { io, timeout, slow: None }
    }

    fn watch(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.slow.iter_mut().for_each(|slow| slow.bytes += bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let timeout = self.timeout;
                let new = || SlowWrite { since: Instant::now(), bytes: 0, timer: Box::pin(sleep(timeout)) };
                ready!(self.slow.get_or_insert_with(new).check_pace(timeout, cx))?;
                Poll::Pending
            }
        }
    }
}

impl SlowWrite {
    /// An error where the peer was too slow, pending while there is time.
    fn check_pace(&mut self, timeout: Duration, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if (self.bytes as f64) < MIN_PACE * self.since.elapsed().as_secs_f64() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            (self.since, self.bytes) = (Instant::now(), 0);
            self.timer.as_mut().reset(self.since + timeout);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteTimeout<'_, T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.lock()).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.io.lock()).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.io.lock()).poll_write_vectored(cx, pieces);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.lock().is_write_vectored()
    }

    /// After a flush everything is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut *self.io.lock()).poll_flush(cx))?;
        self.slow = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.lock()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_times_out() {
        let (ours, _theirs) = duplex(64);
        let begin = Instant::now();
        let error = WriteTimeout::new(&Mutex::new(ours), TIMEOUT).write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!((error.kind(), begin.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_few_bytes_a_second_times_out_and_a_slow_one_does_not() {
        for (pace, is_enough) in [(10, false), (2000, true)] {
            let (ours, mut theirs) = duplex(64);
            let reader = tokio::spawn(async move {
                let mut bytes = vec![0; pace];
                while theirs.read_exact(&mut bytes).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let written = WriteTimeout::new(&Mutex::new(ours), TIMEOUT).write_all(&[0; 1_000_000]).await;
            assert_eq!(written.is_ok(), is_enough, "{pace} bytes a second: {written:?}");
            reader.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_between_two_replies_is_no_delay() {
        let (ours, mut theirs) = duplex(64);
        let ours = Mutex::new(ours);
        let mut connection = WriteTimeout::new(&ours, TIMEOUT);
        for _ in 0..3 {
            let read = async {
                tokio::time::sleep(Duration::from_secs(20)).await;
                theirs.read_exact(&mut [0; 200]).await.map(drop)
            };
            let write = async {
                connection.write_all(&[0; 200]).await?;
                connection.flush().await
            };
            tokio::try_join!(read, write).unwrap();
            tokio::time::sleep(Duration::from_secs(100)).await;
        }
    }
}
