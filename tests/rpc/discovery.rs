//! What a caller learns without a token: which services there are, what their
//! messages mean, and whether the server is well.

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet, source_code_info::Location};
use resetd::{access::Role, config::Reflection, proto};
use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

use crate::{
    caller::by_email,
    harness::{Server, until},
    leaving::begun_and_ended,
    reset::BUYER,
};

/// Asks one version of reflection for the services, then for the files of
/// these symbols.
macro_rules! reflect {
    ($version:ident, $channel:expr, $symbols:expr) => {{
        use $version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new($channel);
        let ask = |message| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message),
        };
        let symbols: Vec<&str> = $symbols;
        let mut questions = vec![ask(MessageRequest::ListServices(String::new()))];
        for symbol in symbols {
            let symbol = MessageRequest::FileContainingSymbol(symbol.to_owned());
            questions.push(ask(symbol));
        }
        let questions = tokio_stream::iter(questions);
        let answers = client.server_reflection_info(questions).await.unwrap();
        let mut answers = answers.into_inner();
        let (mut services, mut files) = (Vec::new(), Vec::new());
        while let Some(answer) = answers.next().await {
            match answer.unwrap().message_response.unwrap() {
                MessageResponse::ListServicesResponse(list) => {
                    services.extend(list.service.into_iter().map(|service| service.name));
                }
                MessageResponse::FileDescriptorResponse(response) => {
                    let file = response.file_descriptor_proto.first().unwrap();
                    files.push(FileDescriptorProto::decode(file.as_slice()).unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
        (services, files)
    }};
}

fn assert_described((services, files): (Vec<String>, Vec<FileDescriptorProto>)) {
    for expected in ["resetd.v1.ResetService", "grpc.health.v1.Health"] {
        assert!(services.iter().any(|name| name == expected), "{services:?}");
    }
    let [method, message, health, error] = &files[..] else {
        panic!("{} files", files.len());
    };
    assert_eq!(method.package(), "resetd.v1");
    assert_eq!(method.name(), message.name());
    assert_eq!(health.package(), "grpc.health.v1");
    assert_eq!(error.package(), "google.rpc");
    let comments = method.source_code_info.as_ref().expect("comments");
    let words = "Resets one user in one transaction";
    assert!(
        comments
            .location
            .iter()
            .any(|l| l.leading_comments().contains(words))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services_and_explains_them() {
    let server = Server::start().await;
    let symbols = || {
        vec![
            "resetd.v1.ResetService.ResetUser",
            "resetd.v1.ResetUserRequest",
            "grpc.health.v1.Health",
            "google.rpc.ErrorInfo",
        ]
    };
    assert_described(reflect!(v1, server.channel().await, symbols()));
    assert_described(reflect!(v1alpha, server.channel().await, symbols()));
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_can_be_off() {
    let server = Server::with(|config| config.reflection = Reflection::Off).await;
    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(server.channel().await);
    let nothing = tokio_stream::empty();
    let status = client.server_reflection_info(nothing).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let mut health = HealthClient::new(server.channel().await);
    health.check(HealthCheckRequest::default()).await.unwrap();
}

/// The places of a file that a caller reads: each has to have a comment.
fn places(file: &FileDescriptorProto) -> Vec<(String, Vec<i32>)> {
    let mut places = Vec::new();
    let index = |index: usize| i32::try_from(index).unwrap();
    for (m, message) in file.message_type.iter().enumerate() {
        let path = vec![4, index(m)];
        places.push((message.name().to_owned(), path.clone()));
        for (f, field) in message.field.iter().enumerate() {
            let path = [&path[..], &[2, index(f)]].concat();
            places.push((format!("{}.{}", message.name(), field.name()), path));
        }
    }
    for (e, kind) in file.enum_type.iter().enumerate() {
        let path = vec![5, index(e)];
        places.push((kind.name().to_owned(), path.clone()));
        for (v, value) in kind.value.iter().enumerate() {
            places.push((
                value.name().to_owned(),
                [&path[..], &[2, index(v)]].concat(),
            ));
        }
    }
    for (s, service) in file.service.iter().enumerate() {
        let path = vec![6, index(s)];
        places.push((service.name().to_owned(), path.clone()));
        for (m, method) in service.method.iter().enumerate() {
            places.push((
                method.name().to_owned(),
                [&path[..], &[2, index(m)]].concat(),
            ));
        }
    }
    places
}

#[test]
fn everything_that_can_be_described_is() {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
    let ours = files.iter().filter(|file| file.package() == "resetd.v1");
    let mut count = 0;
    for file in ours {
        let locations: &[Location] = &file.source_code_info.as_ref().unwrap().location;
        for (name, path) in places(file) {
            let place = locations.iter().find(|location| location.path == path);
            let comment = place.map_or("", Location::leading_comments).trim();
            assert!(!comment.is_empty(), "{name} has no comment");
            count += 1;
        }
    }
    assert!(count > 150, "only {count} comments");
}

async fn health(channel: &Channel, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    let answer = answer.map_err(|status| status.code())?;
    Ok(answer.into_inner().status())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_without_a_token() {
    let server = Server::start().await;
    let channel = server.channel().await;
    for service in ["", "resetd.v1.ResetService"] {
        assert_eq!(health(&channel, service).await, Ok(ServingStatus::Serving));
    }
    let unknown = health(&channel, "resetd.v1.Nothing").await;
    assert_eq!(unknown, Err(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_not_serving_while_the_server_drains() {
    let mut server = Server::start().await;
    let hold = server.data.hold().await;
    let tester = server.caller(Role::Tester).await;
    let call = tokio::spawn(async move { tester.reset(by_email(BUYER)).await });
    until("the intent", async || {
        begun_and_ended(&server.data).await == (1, 0)
    })
    .await;
    let request = HealthCheckRequest {
        service: "resetd.v1.ResetService".to_owned(),
    };
    let mut client = HealthClient::new(server.channel().await);
    let watch = client.watch(request).await.unwrap();
    let mut watch = watch.into_inner();
    let mut next = async || watch.next().await.unwrap().unwrap().status();
    assert_eq!(next().await, ServingStatus::Serving);
    server.stop();
    assert_eq!(next().await, ServingStatus::NotServing);
    // What is running goes on.
    hold.release().await;
    call.await.unwrap().expect("its caller gets the answer");
    drop((watch, client));
    server.ended().await;
}
