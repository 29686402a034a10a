//! CBOR (RFC 8949), as Smithy RPC v2 writes it.

use minicbor::Decoder;
use minicbor::data::Type;

use crate::tree::Tree;

/// How deep a value may be nested.
const DEEPEST: usize = 64;

/// Reads one value, which is the whole of `bytes`.
///
/// # Errors
/// Why it is not CBOR.
pub(crate) fn read(bytes: &[u8]) -> Result<Tree, String> {
    let mut decoder = Decoder::new(bytes);
    let value = value(&mut decoder, 0).map_err(|error| error.to_string())?;
    if decoder.position() == bytes.len() {
        Ok(value)
    } else {
        Err("there is more after the value".to_owned())
    }
}

fn value(decoder: &mut Decoder<'_>, depth: usize) -> Result<Tree, minicbor::decode::Error> {
    if depth > DEEPEST {
        return Err(minicbor::decode::Error::message("nested too deeply"));
    }
    Ok(match decoder.datatype()? {
        Type::Null => {
            decoder.null()?;
            Tree::Null
        }
        Type::Undefined => {
            decoder.undefined()?;
            Tree::Null
        }
        Type::Bool => Tree::Boolean(decoder.bool()?),
        Type::F16 => Tree::Float(decoder.f16()?.into()),
        Type::F32 => Tree::Float(decoder.f32()?.into()),
        Type::F64 => Tree::Float(decoder.f64()?),
        Type::String | Type::StringIndef => {
            let parts: Result<String, _> = decoder.str_iter()?.collect();
            Tree::Text(parts?)
        }
        Type::Bytes | Type::BytesIndef => {
            let mut length = 0;
            for part in decoder.bytes_iter()? {
                length += part?.len();
            }
            Tree::Bytes(length)
        }
        Type::Array | Type::ArrayIndef => {
            let length = decoder.array()?;
            let mut items = Vec::new();
            while more(decoder, length, items.len())? {
                items.push(value(decoder, depth + 1)?);
            }
            Tree::List(items)
        }
        Type::Map | Type::MapIndef => {
            let length = decoder.map()?;
            let mut fields = Vec::new();
            while more(decoder, length, fields.len())? {
                let key: Result<String, _> = decoder.str_iter()?.collect();
                fields.push((key?, value(decoder, depth + 1)?));
            }
            Tree::Map(fields)
        }
        Type::Tag => {
            let tag = decoder.tag()?.as_u64();
            match (tag, value(decoder, depth + 1)?) {
                (1, Tree::Integer(_) | Tree::Float(_)) => Tree::Time,
                (_, inner) => inner,
            }
        }
        // The integers: what is beyond 64 bits with a sign is an error of the decoder.
        _ => Tree::Integer(decoder.i64()?),
    })
}

/// Whether an array or map goes on; takes the break of one without a length.
fn more(
    decoder: &mut Decoder<'_>,
    length: Option<u64>,
    read: usize,
) -> Result<bool, minicbor::decode::Error> {
    match length {
        Some(length) => Ok(u64::try_from(read).unwrap_or(u64::MAX) < length),
        None if decoder.datatype()? == Type::Break => {
            decoder.skip()?;
            Ok(false)
        }
        None => Ok(true),
    }
}
