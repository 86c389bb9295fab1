/** The causes that the server names, in both languages, for people: what happened, what to do. Loaded with the first that is told. */
import type { CallCause, CallCauseKind } from '../client/index.js';
import { lang } from './i18n.js';

export interface CauseWords {
  name: string;
  text: string;
  remedy: string;
}

const en: Record<CallCauseKind, CauseWords> = {
  wrong_address: {
    name: 'The server’s address for calls can’t be reached',
    text: 'The server gave an address for calls that can’t be reached from here.',
    remedy: 'Tell whoever runs this server that the address it announces for calls is wrong.',
  },
  udp_blocked: {
    name: 'UDP is blocked',
    text: 'The network lets no UDP through. The call goes by TCP, and pictures may falter.',
    remedy: 'Try another network, or have whoever runs this one let UDP through to the server.',
  },
  media_blocked: {
    name: 'The network blocks calls',
    text: 'Nothing of the call came through to the server, neither by UDP nor by TCP.',
    remedy: 'Try another network, such as a phone’s, or without VPN. Or have whoever runs this network let the server’s port for calls through.',
  },
  token_invalid: {
    name: 'The sign-in is not accepted',
    text: 'The server did not accept the sign-in.',
    remedy: 'Sign out and in again.',
  },
  token_expired: {
    name: 'The sign-in has run out',
    text: 'The sign-in has run out.',
    remedy: 'Sign in again.',
  },
  clock_off: {
    name: 'The clock is wrong',
    text: 'This device’s clock and the server’s don’t agree, so the sign-in seems not to be valid.',
    remedy: 'Let the system set date and time by itself, then try again. If they are right here, tell whoever runs the server.',
  },
  room_full: {
    name: 'The call is full',
    text: 'The call is full.',
    remedy: 'Try again when somebody has left.',
  },
  no_common_codec: {
    name: 'No format in common',
    text: 'This browser and the server have no format for sound or pictures in common.',
    remedy: 'Use a current Firefox, Chrome, Edge or Safari.',
  },
  bad_offer: {
    name: 'The server does not understand the client',
    text: 'The server did not understand how this browser or program describes its media.',
    remedy: 'Reload the page and join again. If it happens again, report it with the browser’s or program’s name and version.',
  },
  fingerprint_mismatch: {
    name: 'The encryption doesn’t fit',
    text: 'Who answered is not who was announced: something on the way may have changed the call’s encryption.',
    remedy: 'Try another network, without VPN or proxy. If it happens there too, tell whoever runs this server.',
  },
  handshake_failed: {
    name: 'The encryption could not be set up',
    text: 'The way to the server was found, but the encryption could not be set up.',
    remedy: 'Join again. If it happens again, try another browser or another network.',
  },
  ice_credentials: {
    name: 'Not recognised by the server',
    text: 'What came for the call did not fit what was agreed, as after a restart of the server.',
    remedy: 'Reload the page and join again.',
  },
  consent_lost: {
    name: 'The connection broke off',
    text: 'The call was connected, then nothing arrived any more.',
    remedy: 'Check the network, then join again.',
  },
  no_keyframes: {
    name: 'The picture can’t begin',
    text: 'A camera or screen sends, but not the whole picture that others need to begin with, though it was asked for.',
    remedy: 'Stop that camera or screen and start it again. An encoder should send a key frame every two seconds.',
  },
  starved: {
    name: 'The connection is too slow',
    text: 'The connection carries less than the smallest pictures need.',
    remedy: 'Close what else uses it (downloads, other calls), move nearer to the access point, or watch fewer pictures.',
  },
  loss: {
    name: 'Packets get lost',
    text: 'Part of what is sent gets lost on the way: sound breaks up and pictures stand still.',
    remedy: 'Use a cable, or move nearer to the access point. If it stays, try another network.',
  },
  forbidden: {
    name: 'Not allowed',
    text: 'The role in this room does not allow it.',
    remedy: 'Ask an owner of the room.',
  },
  left_early: {
    name: 'Left before it was connected',
    text: 'The call was left before it was connected.',
    remedy: 'Join again and wait for some seconds.',
  },
  server: {
    name: 'A problem of the server',
    text: 'The server had a problem of its own.',
    remedy: 'Try again. If it happens again, tell whoever runs the server.',
  },
};

const ja: Record<CallCauseKind, CauseWords> = {
  wrong_address: {
    name: '通話用アドレスに到達できません',
    text: 'サーバーが案内した通話用のアドレスには、ここから到達できません。',
    remedy: 'サーバーの管理者に、案内している通話用アドレスが誤っていることを伝えてください。',
  },
  udp_blocked: {
    name: 'UDP が遮断されています',
    text: 'ネットワークが UDP を通さないため、TCP で通話しています。映像が途切れることがあります。',
    remedy: '別のネットワークを試すか、サーバー宛ての UDP を許可するようネットワークの管理者に依頼してください。',
  },
  media_blocked: {
    name: '通話が遮断されています',
    text: '通話の通信は、UDP でも TCP でもサーバーに届いていません。',
    remedy: 'スマートフォンの回線など別のネットワークを試すか、VPN を切ってください。または、サーバーの通話用ポートを許可するようネットワークの管理者に依頼してください。',
  },
  token_invalid: {
    name: 'サインインが無効です',
    text: 'サーバーがサインインを受け付けませんでした。',
    remedy: 'サインアウトして、もう一度サインインしてください。',
  },
  token_expired: {
    name: 'サインインの期限切れ',
    text: 'サインインの有効期限が切れました。',
    remedy: 'もう一度サインインしてください。',
  },
  clock_off: {
    name: '時計がずれています',
    text: 'この端末とサーバーの時計がずれているため、サインインが無効と判断されました。',
    remedy: '日付と時刻を自動設定にして、もう一度お試しください。端末の時計が正しい場合は、サーバーの管理者に伝えてください。',
  },
  room_full: {
    name: '通話が満員です',
    text: '通話が満員です。',
    remedy: '誰かが退出してからもう一度お試しください。',
  },
  no_common_codec: {
    name: '共通の形式がありません',
    text: 'このブラウザーとサーバーの間に、音声や映像の共通の形式がありません。',
    remedy: '最新の Firefox、Chrome、Edge、Safari をお使いください。',
  },
  bad_offer: {
    name: 'メディアの記述を処理できません',
    text: 'このブラウザーまたはプログラムが送ったメディアの記述を、サーバーが処理できませんでした。',
    remedy: 'ページを再読み込みして、もう一度参加してください。繰り返す場合は、ブラウザーやプログラムの名前とバージョンを添えて報告してください。',
  },
  fingerprint_mismatch: {
    name: '暗号化の相手が一致しません',
    text: '応答した相手が、取り決めた相手と一致しません。途中で通話の暗号化が書き換えられた可能性があります。',
    remedy: 'VPN やプロキシを使わず、別のネットワークでお試しください。それでも起きる場合は、サーバーの管理者に伝えてください。',
  },
  handshake_failed: {
    name: '暗号化を開始できません',
    text: 'サーバーへの経路は見つかりましたが、暗号化を開始できませんでした。',
    remedy: 'もう一度参加してください。繰り返す場合は、別のブラウザーやネットワークをお試しください。',
  },
  ice_credentials: {
    name: 'サーバーが接続を認識できません',
    text: '届いた通信が取り決めた内容と一致しません。サーバーの再起動後などに起こります。',
    remedy: 'ページを再読み込みして、もう一度参加してください。',
  },
  consent_lost: {
    name: '接続が途切れました',
    text: '通話に接続した後、通信が届かなくなりました。',
    remedy: 'ネットワークを確認して、もう一度参加してください。',
  },
  no_keyframes: {
    name: '映像を開始できません',
    text: 'カメラまたは画面の映像は届いていますが、表示の開始に必要なキーフレームが、要求しても送られてきません。',
    remedy: 'そのカメラまたは画面共有を一度停止し、もう一度開始してください。エンコーダーは 2 秒ごとにキーフレームを送るよう設定してください。',
  },
  starved: {
    name: '回線の速度が足りません',
    text: '回線の速度が、最も小さい映像に必要な速度を下回っています。',
    remedy: 'ダウンロードやほかの通話を止めるか、アクセスポイントに近づくか、表示する映像を減らしてください。',
  },
  loss: {
    name: 'パケットが失われています',
    text: '通信の一部が途中で失われ、音が途切れたり映像が止まったりしています。',
    remedy: '有線で接続するか、アクセスポイントに近づいてください。続く場合は、別のネットワークをお試しください。',
  },
  forbidden: {
    name: '許可されていません',
    text: 'このルームでの役割では許可されていません。',
    remedy: 'ルームのオーナーに相談してください。',
  },
  left_early: {
    name: '接続前に退出しました',
    text: '通話に接続する前に退出しました。',
    remedy: 'もう一度参加して、数秒お待ちください。',
  },
  server: {
    name: 'サーバーの問題',
    text: 'サーバー側で問題が発生しました。',
    remedy: 'もう一度お試しください。繰り返す場合は、サーバーの管理者に伝えてください。',
  },
};

/** For whom it concerns. A cause that this app doesn't know is told in the server's words. */
export function causeWords({ kind, text, remedy }: CallCause): CauseWords {
  const words = (lang.value === 'ja' ? ja : en) as Record<string, CauseWords>;
  return (Object.hasOwn(words, kind) ? words[kind] : null) ?? { name: kind, text, remedy };
}
