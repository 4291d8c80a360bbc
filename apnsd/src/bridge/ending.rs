//! How a connection ends so that its last bytes arrive.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// How long a client may take to take the last bytes.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// How long a client may go on sending, or stay, after it was told that it is over.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// How the two sides parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parted {
    /// The client closed as well.
    Closed,
    /// It stayed, and said nothing that matters.
    Silent,
    /// Its connection broke.
    Broken,
}

/// Closes this side, then reads and throws away what the client still sends, until it closes. A close with unread input
/// would make the system throw away what is still on its way to the client.
pub(super) async fn part<S>(stream: &mut S) -> Parted
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(TAKEN_WITHIN, stream.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return Parted::Broken,
    }
    let mut rest = [0; 4096];
    let closed = timeout(CLOSED_WITHIN, async {
        loop {
            match stream.read(&mut rest).await {
                // Without a word of TLS, as many old clients do it.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Parted::Closed,
                Ok(0) => return Parted::Closed,
                Ok(_) => {}
                Err(_) => return Parted::Broken,
            }
        }
    });
    closed.await.unwrap_or(Parted::Silent)
}

/// Writes the last bytes, and parts.
pub(super) async fn say_and_part<S>(stream: &mut S, last: &[u8]) -> Parted
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let written = timeout(TAKEN_WITHIN, async {
        stream.write_all(last).await?;
        stream.flush().await
    });
    match written.await {
        Ok(Ok(())) => part(stream).await,
        Ok(Err(_)) | Err(_) => Parted::Broken,
    }
}
