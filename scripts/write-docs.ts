/** Writes the pages of `docs/` that are made from source. */
import { writeFileSync } from 'node:fs';
import { formatSettingsPage } from '../src/model/settings-page.ts';
import { formatCliPage } from './cli-page.ts';

const docs = new URL('../docs/', import.meta.url);
writeFileSync(new URL('settings.md', docs), formatSettingsPage());
writeFileSync(new URL('cli.md', docs), await formatCliPage());
