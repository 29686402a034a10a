//! The DNS protocol: hickory's server, answering from [`State`].

use std::{
    hash::{BuildHasher, RandomState},
    str::FromStr,
    sync::Arc,
};

use hickory_proto::{
    op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
};
use hickory_server::{
    net::runtime::Time,
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};

use crate::{
    lookup::{Reply, ReplyCode, ReplyRecord},
    state::State,
};

/// The largest UDP answer that we send: fits every path without fragments
/// (<https://www.dnsflagday.net/2020/>).
const MAX_UDP_PAYLOAD: u16 = 1232;

/// Answers questions from the state.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) state: Arc<State>,
}

/// A reply in the terms of the protocol.
struct Wire {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authority: Vec<Record>,
}

impl Wire {
    fn error(code: ResponseCode) -> Self {
        Self { code, authoritative: false, answers: Vec::new(), authority: Vec::new() }
    }
}

impl Handler {
    fn answer(&self, request: &Request) -> Wire {
        if request.metadata.op_code != OpCode::Query {
            return Wire::error(ResponseCode::NotImp);
        }
        let [query] = request.queries.queries() else {
            return Wire::error(ResponseCode::FormErr);
        };
        if query.query_class() != DNSClass::IN {
            return Wire::error(ResponseCode::Refused);
        }
        // Neither zone transfers nor "all types" (RFC 8482 lets a server decline it).
        if matches!(query.query_type(), RecordType::ANY | RecordType::AXFR | RecordType::IXFR) {
            return Wire::error(ResponseCode::NotImp);
        }
        let name = query.original().name().to_ascii();
        let draw = RandomState::new().hash_one(request.metadata.id);
        match self.state.reply(&name, &query.query_type().to_string(), draw) {
            Some(reply) => wire(&reply),
            None => Wire::error(ResponseCode::ServFail),
        }
    }
}

fn wire(reply: &Reply) -> Wire {
    let (code, authoritative) = match reply.code {
        ReplyCode::NoError => (ResponseCode::NoError, true),
        ReplyCode::NxDomain => (ResponseCode::NXDomain, true),
        ReplyCode::Refused => (ResponseCode::Refused, false),
        ReplyCode::Referral => (ResponseCode::NoError, false),
    };
    let records = |records: &[ReplyRecord]| records.iter().filter_map(record).collect();
    Wire {
        code,
        authoritative,
        answers: records(&reply.answers),
        authority: records(&reply.authority),
    }
}

/// The record on the wire; none, with a warning, when its value does not parse.
fn record(record: &ReplyRecord) -> Option<Record> {
    let parsed = parse(record);
    if parsed.is_none() {
        tracing::warn!(name = %record.name, kind = %record.kind, value = %record.value,
            "record left out of an answer: its value does not parse");
    }
    parsed
}

fn parse(record: &ReplyRecord) -> Option<Record> {
    let mut name = Name::from_ascii(&record.name).ok()?;
    name.set_fqdn(true);
    let kind = RecordType::from_str(&record.kind).ok()?;
    // Route 53 takes names in values as complete, with or without the last dot.
    let ends_in_name = ["CNAME", "MX", "NS", "PTR", "SRV"].contains(&record.kind.as_str());
    let dot = if ends_in_name && !record.value.ends_with('.') { "." } else { "" };
    let data = RData::try_from_str(kind, &format!("{}{dot}", record.value)).ok()?;
    Some(Record::from_rdata(name, record.ttl, data))
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let wire = self.answer(request);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = wire.code;
        metadata.authoritative = wire.authoritative;
        let mut edns = Edns::new();
        edns.set_max_payload(request.max_payload().min(MAX_UDP_PAYLOAD));
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let message = builder.build(metadata, &wire.answers, &wire.authority, &[], &[]);
        match response.send_response(message).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "answer not sent");
                let id = request.metadata.id;
                let mut metadata = Metadata::new(id, MessageType::Response, OpCode::Query);
                metadata.response_code = ResponseCode::ServFail;
                ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
            }
        }
    }
}
