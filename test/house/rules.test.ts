/** Every rule of the house refuses what it is there to refuse, and lets pass what only looks like it. */
import { expect, test } from 'vitest'
import { RULES } from './rules.ts'
import type { Tree } from './tree.ts'

type Case = {
  readonly rule: string
  readonly refuses: Record<string, string>
  readonly says: string[]
  readonly accepts: Record<string, string>
}

const longFunction = (lines: number): string => `function f() {\n${'  g()\n'.repeat(lines - 2)}}`
const later = ['TO', 'DO'].join('')
const silenced = ['@ts', 'ignore'].join('-')
const elsewhere = ['', 'home', 'ada', 'tributary'].join('/')

const cases: Case[] = [
  {
    rule: 'every file parses',
    refuses: { 'node/loop.ts': 'const = 1' },
    says: ['node/loop.ts:1: syntax error'],
    accepts: { 'node/loop.ts': 'const a: number = 1' },
  },
  {
    rule: 'imports point down and siblings never import one another',
    refuses: {
      'execution/vm.ts': "import { table } from '../precompiles/table.ts'",
      'precompiles/table.ts': "\nimport type { Head } from '../consensus/heads.ts'",
      'consensus/heads.ts': "export type { Frame } from '../settlement/frame.ts'",
      'settlement/frame.ts': "export type Frame = import('../node/store.ts').Store",
      'node/store.ts': "const fake = await import('../test/fakes/store.ts')",
      'test/fakes/store.ts': "import { x } from '../../node/missing.ts'",
      'worker/run.ts': "import { serve } from '../rpc/server.ts'",
      'rpc/server.ts': '',
      'genesis/genesis.ts': "import { rlp } from '../execution/rlp.ts'",
      'execution/rlp.ts': '',
    },
    says: [
      'execution/vm.ts:1: execution may not import precompiles/table.ts',
      'precompiles/table.ts:2: precompiles may not import consensus/heads.ts',
      'consensus/heads.ts:1: consensus may not import settlement/frame.ts',
      'settlement/frame.ts:1: settlement may not import node/store.ts',
      'node/store.ts:1: node may not import test/fakes/store.ts',
      'test/fakes/store.ts:1: ../../node/missing.ts does not exist',
      'worker/run.ts:1: worker may not import rpc/server.ts',
      'genesis/genesis.ts:1: genesis may not import execution/rlp.ts',
    ],
    accepts: {
      'node/loop.ts':
        "import { vm } from '../execution/vm.ts'; import { step } from '../consensus/machine.ts'; import { keccak256 } from 'viem'",
      'execution/vm.ts': '',
      'consensus/machine.ts': "import { f } from './heads.ts'; import { vm } from '../execution/vm.ts'",
      'consensus/heads.ts': '',
      'web/main.ts': "import { create } from '../rpc/client.ts'; import { encode } from '../execution/native/claim.ts'",
      'rpc/client.ts': '',
      'execution/native/claim.ts': '',
    },
  },
  {
    rule: 'pure rooms have no clock, randomness, timer, network, process or log',
    refuses: {
      'consensus/machine.ts':
        "import { readFileSync } from 'node:fs'\nconst now = Date.now()\nconst id = Math.random()\nsetTimeout(f, 1)\nf({ fetch })",
      'settlement/post.ts': 'console.log(process.pid, globalThis.crypto)',
    },
    says: [
      'consensus/machine.ts:1: a pure room may not import node:fs',
      'consensus/machine.ts:2: a pure room may not use Date',
      'consensus/machine.ts:3: a pure room may not use Math.random',
      'consensus/machine.ts:4: a pure room may not use setTimeout',
      'consensus/machine.ts:5: a pure room may not use fetch',
      'settlement/post.ts:1: a pure room may not use console',
      'settlement/post.ts:1: a pure room may not use process',
      'settlement/post.ts:1: a pure room may not use globalThis',
    ],
    accepts: {
      'settlement/l1.ts': "import { setTimeout } from 'node:timers/promises'; fetch('http://localhost')",
      'node/loop.ts': 'setTimeout(f, Date.now())',
      'consensus/machine.ts':
        'export function step({ fetch, a: [performance = 1] }: Ports) { return ports.process + fetch(performance) + Math.floor(1) }',
      'execution/ledger/tables.ts':
        'export type Worker = { process: string; Date(): void }; const w: Worker = { process: "" }; // Date.now()',
    },
  },
  {
    rule: 'what the browser loads needs no Node',
    refuses: {
      'web/studio/main.ts': "import { encode } from '../../execution/native/claim.ts'",
      'execution/native/claim.ts': "import { hash } from '../hash.ts'",
      'execution/hash.ts': "import { digest } from '@chainsafe/hashtree'\nimport { createHash } from 'node:crypto'",
    },
    says: [
      'execution/hash.ts:1: web/ loads this file, which imports @chainsafe/hashtree',
      'execution/hash.ts:2: web/ loads this file, which imports node:crypto',
    ],
    accepts: {
      'web/main.ts': "import type { Tree } from '../execution/tree.ts'; import { type Leaf } from '../execution/tree.ts'",
      'execution/tree.ts': "import { digest } from '@chainsafe/hashtree'",
    },
  },
  {
    rule: 'every file is reached from an entry or a test',
    refuses: { 'node/main.ts': '', 'rpc/a.ts': "import './b.ts'", 'rpc/b.ts': "import './a.ts'" },
    says: ['rpc/a.ts:1: nothing imports this file', 'rpc/b.ts:1: nothing imports this file'],
    accepts: {
      'package.json': '{ "scripts": { "contracts": "exec env node contracts/compile.ts" } }',
      'contracts/compile.ts': '',
      'node/main.ts': "new Worker(new URL('./verifier.ts', import.meta.url))",
      'node/verifier.ts': "import '../rpc/a.ts'",
      'rpc/a.ts': '',
      'test/rpc/a.test.ts': "import { fake } from '../fakes/chain.ts'",
      'test/fakes/chain.ts': '',
    },
  },
  {
    rule: 'names say the noun',
    refuses: { 'rpc/utils.ts': '', 'execution/index.ts': '', 'node/services/sync.ts': '', 'docs/common/a.md': '' },
    says: [
      'rpc/utils.ts:1: "utils.ts" says nothing about what is inside',
      'execution/index.ts:1: "index.ts" says nothing about what is inside',
      'node/services/sync.ts:1: "services" says nothing about what is inside',
      'docs/common/a.md:1: "common" says nothing about what is inside',
    ],
    accepts: { 'web/index.html': '', 'execution/ledger/tables.ts': '', 'node/core-dump.md': '' },
  },
  {
    rule: 'the root holds the rooms and nothing else',
    refuses: { 'src/a.ts': '', 'notes.md': '' },
    says: ['src/a.ts:1: src does not belong at the root', 'notes.md:1: notes.md does not belong at the root'],
    accepts: { 'README.md': '', '.ci/run': '', 'docs/spec/block.md': '', 'test/a.test.ts': '' },
  },
  {
    rule: 'no any, no non-null assertion, no silenced compiler',
    refuses: { 'rpc/a.ts': `let a: any\na = b as any\na!.c\nenum E { A }\n// ${silenced}` },
    says: [
      'rpc/a.ts:1: any',
      'rpc/a.ts:2: any',
      'rpc/a.ts:3: a non-null assertion',
      'rpc/a.ts:4: an enum',
      `rpc/a.ts:5: silences the compiler: // ${silenced}`,
    ],
    accepts: { 'rpc/a.ts': "// any of them, : any\nconst a: unknown = 'as any' // !.\nif (!a.b) f()" },
  },
  {
    rule: 'nothing is left for later and no machine is named',
    refuses: { 'rpc/a.ts': `f() // ${later}: more`, 'docs/spec/a.md': `see ${elsewhere}` },
    says: [`rpc/a.ts:1: leaves work for later: f() // ${later}: more`, `docs/spec/a.md:1: names a path of one machine: see ${elsewhere}`],
    accepts: { 'rpc/a.ts': "get('https://example.org/home/ada'); const mastodon = 1" },
  },
  {
    rule: 'lines and functions fit the page',
    refuses: { 'rpc/a.ts': `const a = ${'b + '.repeat(40)}1`, 'rpc/b.ts': longFunction(71) },
    says: [`rpc/a.ts:1: is wider than 160: const a = ${'b + '.repeat(17)}b `, 'rpc/b.ts:1: a function of 71 lines'],
    accepts: {
      'rpc/a.ts': `export const abi = [\n  '${'x'.repeat(200)}',\n]`,
      'rpc/b.ts': `function create() {\n${longFunction(69)}\n${longFunction(70)}\n}`,
    },
  },
  {
    rule: 'arguments and environment are read in one place',
    refuses: { 'rpc/a.ts': 'f(process.env.PORT, process.argv)', 'p2p/a.ts': "import { env } from 'node:process'" },
    says: [
      'rpc/a.ts:1: arguments and environment are read by node/config.ts',
      'rpc/a.ts:1: arguments and environment are read by node/config.ts',
      'p2p/a.ts:1: arguments and environment are read by node/config.ts',
    ],
    accepts: { 'node/config.ts': 'f(process.env)', 'rpc/a.ts': 'process.hrtime()', 'test/a.test.ts': 'process.env' },
  },
  {
    rule: 'every exported function says what it promises',
    refuses: { 'rpc/a.ts': 'export function a() {}\n\nexport async function b() {}' },
    says: ['rpc/a.ts:1: an exported function without a doc comment', 'rpc/a.ts:3: an exported function without a doc comment'],
    accepts: {
      'rpc/a.ts': '/** Bytes of a. */\nexport function encode() {}\n\nexport function decode() {}\nfunction inner() {}',
      'test/fakes/a.ts': 'export function a() {}',
    },
  },
  {
    rule: 'files and headings that texts mention exist',
    refuses: {
      'README.md': 'See [rules](docs/spec/rules.md), `node/gone.ts` and\n`gone/`, [part](#nowhere).',
      'rpc/a.ts': '// docs/spec/block.md#nothing\n/* (docs/spec/none.md) */',
      'docs/spec/block.md': '# Blocks',
    },
    says: [
      'README.md:1: docs/spec/rules.md does not exist',
      'README.md:2: #nowhere does not exist',
      'README.md:1: node/gone.ts does not exist',
      'README.md:2: gone/ does not exist',
      'rpc/a.ts:1: docs/spec/block.md#nothing does not exist',
      'rpc/a.ts:2: docs/spec/none.md does not exist',
    ],
    accepts: {
      'README.md':
        '# The loop\n[a](https://example.org/a.md) [b](docs/spec/block.md#l1-origin-and-deposits) [c](#the-loop) `a.ts` `rpc/` `npm start`\n```\n[d](gone.md)\n```',
      'docs/spec/block.md': '## L1 origin, and deposits\n[up](../../README.md) `rpc/a.ts`',
      'docs/decisions/001-a.md': '`rpc/was-here-then.ts`',
      'rpc/a.ts': '// docs/spec/block.md',
    },
  },
]

const treeOf = (files: Record<string, string>): Tree => new Map(Object.entries(files))

for (const { rule, refuses, says, accepts } of cases) {
  test(`refused: ${rule}`, () => expect(RULES[rule]?.(treeOf(refuses)).toSorted()).toEqual(says.toSorted()))
  test(`accepted: ${rule}`, () => expect(RULES[rule]?.(treeOf(accepts))).toEqual([]))
}

test('every rule has its rejecting case', () => expect(cases.map(({ rule }) => rule)).toEqual(Object.keys(RULES)))
