/** Writes the pages of `docs/` that are made from source. */
import { writeFileSync } from 'node:fs';
import { formatSettingsPage } from '../src/model/settings-page.ts';

writeFileSync(new URL('../docs/settings.md', import.meta.url), formatSettingsPage());
