//! Calls by path, headers and bytes, for what the generated client cannot
//! say.

use http::uri::PathAndQuery;
use prost::bytes::{Buf as _, BufMut as _};
use tokio_stream::StreamExt as _;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

/// Messages as they are on the wire.
#[derive(Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(bytes.to_vec()))
    }
}

/// Calls a method, unary or streaming, with these authorization headers, and
/// gives every message of the answer.
pub async fn call(
    channel: &Channel,
    path: &str,
    authorization: &[&[u8]],
    message: Vec<u8>,
) -> Result<Vec<Vec<u8>>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(message);
    for value in authorization {
        let value = MetadataValue::<Ascii>::try_from(*value).unwrap();
        request.metadata_mut().append("authorization", value);
    }
    let path: PathAndQuery = path.parse().unwrap();
    let response = grpc.server_streaming(request, path, Bytes).await?;
    response.into_inner().collect().await
}
