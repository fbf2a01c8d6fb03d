import { Option } from 'commander';
import { namesOf, settings } from '../model/settings.ts';

/** Settings that say where the traces of a daemon are. */
const places = ['clusterStore', 'stateDir', 'runDir'] as const;

export function placeOption(key: (typeof places)[number]): Option {
  return new Option(`--${namesOf(key).flag} <${settings[key].value}>`, settings[key].sentence);
}

/** Those that were said, and the settings file, as flags for a program of the daemon. */
export function placesGiven(options: Readonly<Record<string, unknown>>): readonly string[] {
  const { configFile } = options;
  const given = places.flatMap((key) => {
    const value = options[key];
    return typeof value === 'string' ? [`--${namesOf(key).flag}=${value}`] : [];
  });
  return [...(typeof configFile === 'string' ? [`--config-file=${configFile}`] : []), ...given];
}
