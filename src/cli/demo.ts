import { styleText } from 'node:util';
import { type Command, Option } from 'commander';
import { self } from '../lab/home.ts';
import { openLab } from '../lab/lab.ts';
import { becomeRoot } from '../lab/rootless.ts';
import { etcdPage, firstPage, readPage, walk } from '../lab/walk.ts';
import type { Part } from '../lab/walkthrough.ts';
import { interruptible } from './lab.ts';
import { withProgress } from './progress.ts';

export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('Two hosts, one network: every step shown as it happens, on a lab of this machine')
    .addOption(new Option('--store <kind>', 'etcd: the same over an etcd (default: no store)').choices(['etcd']))
    .option('--keep', 'leave the lab running at the end')
    .option('--name <lab>', 'what the lab is called', 'demo')
    .action(async ({ keep = false, name, store }: { keep?: boolean; name: string; store?: 'etcd' }) => {
      becomeRoot();
      const parts = readPage(store === 'etcd' ? etcdPage : firstPage);
      await interruptible(async (signal) => {
        say(styleText('dim', store === 'etcd' ? 'starting two hosts and an etcd …' : 'starting two hosts …'));
        const lab = await withProgress(
          'starting',
          openLab({ name, hosts: 2, underlay: 4, mtu: 1500, tied: !keep, signal, ...(store && { store }) }),
        );
        let done = false;
        try {
          await walk(lab, parts, { signal, onPart: show, onOutput: (output) => process.stdout.write(output) });
          done = true;
        } finally {
          if (!keep || !done) await lab.close();
        }
      });
      say('');
      if (!keep) {
        say('Done; the lab is gone and nothing is left of it.');
        return;
      }
      say(`The lab goes on. Look around with: ${self} lab exec --name ${name} h1 -- bash`);
      say(`or one command at a time:          ${self} -H ${name}/h2 network ls`);
      say(`End it with:                       ${self} lab down --name ${name}`);
    });
}

function show(part: Part): void {
  say(`\n${dressed(part)}`);
}

function dressed(part: Part): string {
  switch (part.kind) {
    case 'heading':
      return styleText(['bold', 'underline'], part.text);
    case 'text':
      return plain(part.text);
    case 'command':
      return `${styleText('cyan', `${part.host}#`)} ${styleText('bold', part.command)}`;
  }
}

/** Without marks for code, emphasis and links. */
function plain(text: string): string {
  return text.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll(/[`*]/g, '');
}

function say(line: string): void {
  console.log(line);
}
