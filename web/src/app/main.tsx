import { render } from 'preact';
import './styles/base.css';
import './styles/shell.css';
import './styles/messages.css';
import './styles/dialogs.css';
import { App } from './app.js';
import { begin, listen } from './state.js';

listen();
begin();
render(<App />, document.getElementById('app')!);
