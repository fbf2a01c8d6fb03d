import { Option } from 'commander';
import { namesOf, settings } from '../model/settings.ts';
import { collect } from './session.ts';

/** Settings that say where the traces of a daemon are. */
const places = ['clusterStore', 'clusterStoreOpt', 'stateDir', 'runDir'] as const;

export function placeOption(key: (typeof places)[number]): Option {
  const { many, sentence, value } = settings[key];
  const option = new Option(`--${namesOf(key).flag} <${value}>`, `${sentence}${many ? '; may repeat' : ''}`);
  return many ? option.argParser(collect) : option;
}

/** Those that were said, and the settings file, as flags for a program of the daemon. */
export function placesGiven(options: Readonly<Record<string, unknown>>): readonly string[] {
  const { configFile } = options;
  const given = places.flatMap((key) => {
    const texts = [options[key]].flat().filter((text) => typeof text === 'string');
    return texts.map((text) => `--${namesOf(key).flag}=${text}`);
  });
  return [...(typeof configFile === 'string' ? [`--config-file=${configFile}`] : []), ...given];
}
