/** What notifications say where the server says nothing. */
export type Lang = 'en' | 'ja';

const en = {
  message: 'New message',
  mention: 'Somebody mentioned you',
  call: 'Somebody is calling you',
  clip: 'A clip has changed',
  notice: 'There is something new.',
  answer: 'Answer',
  decline: 'Decline',
};

const ja: typeof en = {
  message: '新しいメッセージがあります',
  mention: 'あなた宛てのメッセージがあります',
  call: '着信中です',
  clip: 'クリップの状態が変わりました',
  notice: '新しいお知らせがあります。',
  answer: '応答',
  decline: '拒否',
};

export const wordsOf = (lang: Lang): typeof en => (lang === 'ja' ? ja : en);
