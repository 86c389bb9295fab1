//! Settings of calls that are more than a value.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Where media is received by TCP: `auto`, `off`, or addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(crate) enum TcpListen {
    /// At the addresses of UDP: on the port of HTTP where HTTP is at that address, else on the number of UDP.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// Here.
    At(Vec<SocketAddr>),
}

/// As it stands in the settings.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Word(String),
    List(Vec<SocketAddr>),
}

impl TryFrom<Written> for TcpListen {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Word(word) if word == "auto" => Ok(Self::Auto),
            Written::Word(word) if word == "off" => Ok(Self::Off),
            Written::Word(word) => Err(format!(
                "{word:?} is neither auto nor off nor a list of addresses such as [\"192.0.2.1:443\"]"
            )),
            Written::List(list) if list.is_empty() => {
                Err("an empty list says nothing: auto or off do".to_owned())
            }
            Written::List(list) => Ok(Self::At(list)),
        }
    }
}

impl From<TcpListen> for Written {
    fn from(listen: TcpListen) -> Self {
        match listen {
            TcpListen::Auto => Self::Word("auto".to_owned()),
            TcpListen::Off => Self::Word("off".to_owned()),
            TcpListen::At(list) => Self::List(list),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_word_or_a_list_and_written_as_it_was_read() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Calls {
            tcp_listen: TcpListen,
        }
        for text in [
            "tcp_listen = \"auto\"\n",
            "tcp_listen = \"off\"\n",
            "tcp_listen = [\"192.0.2.1:443\"]\n",
        ] {
            let calls: Calls = toml::from_str(text).expect("a setting");
            assert_eq!(toml::to_string(&calls).expect("text"), text);
        }
        for wrong in ["\"on\"", "[]", "[\"somewhere\"]", "true"] {
            let read = toml::from_str::<Calls>(&format!("tcp_listen = {wrong}"));
            assert!(read.is_err(), "{wrong}");
        }
    }
}
