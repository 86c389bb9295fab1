import { useEffect, useRef, useState } from 'preact/hooks';
import { serverInfo, signIn, type SignedIn } from '../client/index.js';
import { explain, explainSignIn } from './errors.js';
import { t } from './i18n.js';
import { Logo, Problem } from './parts.js';
import { LanguageChoice, ThemeChoice } from './settings.js';
import { expired, useAuth } from './state.js';

export function SignIn() {
  const [name, setName] = useState(expired.value?.name ?? '');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [byToken, setByToken] = useState(false);
  const input = useRef<HTMLInputElement>(null);

  useEffect(() => {
    input.current?.focus();
    serverInfo().then(
      (info) => setByToken(info.signIn === 'none'),
      () => {},
    );
  }, []);

  const submit = async (event: Event) => {
    event.preventDefault();
    const value = name.trim();
    if (busy || value === '') return;
    setBusy(true);
    setProblem(null);
    try {
      useAuth(byToken ? fromToken(value) : await signIn(value));
    } catch (error) {
      setProblem(byToken ? t('errToken') : error instanceof TypeError ? explain(error) : explainSignIn(error));
      setBusy(false);
      input.current?.focus();
    }
  };

  return (
    <main class="sign-in" data-testid="sign-in">
      <div class="sign-in-card">
        <div class="sign-in-brand">
          <Logo size={52} />
          <div>
            <p class="wordmark">
              Kaiwa <span lang="ja">会話</span>
            </p>
            <p class="tagline">{t('tagline')}</p>
          </div>
        </div>
        <form onSubmit={submit}>
          <h1>{t('signInTitle')}</h1>
          {expired.value && (
            <p class="note" data-testid="expired">
              {t('signInAgain')} {expired.value.unsent > 0 && t('signInKept', { name: expired.value.name })}
            </p>
          )}
          <label class="field">
            <span class="field-label">{t(byToken ? 'signInToken' : 'signInName')}</span>
            <input
              ref={input}
              class="input large"
              name="name"
              autocomplete="username"
              autocapitalize="off"
              spellcheck={false}
              maxLength={byToken ? 8192 : 64}
              value={name}
              onInput={(e) => setName(e.currentTarget.value)}
              aria-describedby="sign-in-hint"
              data-testid="name"
            />
            {!byToken && (
              <span class="field-hint" id="sign-in-hint">
                {t('signInHint')}
              </span>
            )}
          </label>
          <Problem text={problem} />
          <button class="button primary large" type="submit" disabled={busy || name.trim() === ''} data-testid="sign-in-button">
            {t(busy ? 'signingIn' : 'signInButton')}
          </button>
        </form>
        <p class="sign-in-why">{t(byToken ? 'signInTokenWhy' : 'signInWhy')}</p>
        <div class="sign-in-settings">
          <LanguageChoice />
          <ThemeChoice />
        </div>
      </div>
    </main>
  );
}

/** Who a token names. The server checks it; here it only has to be readable. */
function fromToken(token: string): SignedIn {
  const body = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
  const bytes = Uint8Array.from(atob(body), (c) => c.charCodeAt(0));
  const claims = JSON.parse(new TextDecoder().decode(bytes)) as { sub: string; name?: string; exp: number };
  if (typeof claims.sub !== 'string' || typeof claims.exp !== 'number') throw new Error('no claims');
  return { token, user: { id: claims.sub, name: claims.name ?? '' }, expiresMs: claims.exp * 1000 };
}
