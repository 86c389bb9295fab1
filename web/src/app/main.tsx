import { render } from 'preact';
import './styles/base.css';
import './styles/shell.css';
import './styles/messages.css';
import './styles/dialogs.css';
import './styles/calls.css';
import './styles/call-tile.css';
import './styles/call-controls.css';
import './styles/call-prejoin.css';
import './styles/call-around.css';
import './styles/notify.css';
import './styles/clips.css';
import './styles/clip-player.css';
import './styles/clip-page.css';
import { App } from './app.js';
import { listenToWorker, startWorker } from './push-device.js';
import { begin, client, listen } from './state.js';

listen();
listenToWorker(() => client.value);
begin();
render(<App />, document.getElementById('app')!);

// Where it can't be (plain HTTP to another machine), the app needs the server to be opened.
if (import.meta.env.PROD) startWorker();
