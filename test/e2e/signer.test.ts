/**
 * A key in a process of its own: `tributary keys` and `tributary signer` as people run them, two processes that were given the one signer by mistake, and
 * kill -9 of the signer in between. Whatever they ask, what they are given together is no evidence against the key.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Hex, hexToBytes } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parsePublicKey, verifySignature } from '../../consensus/bls.ts'
import { statementDigest } from '../../consensus/digest.ts'
import { isAmnesia, isDoubleVote } from '../../consensus/evidence.ts'
import { assert } from '../../execution/assert.ts'
import { createChildren, end } from './child.ts'
import { jsonLines, runCommand } from './devnet.ts'
import type { RivalAnswer } from './signerRival.ts'

const RIVAL = fileURLToPath(new URL('./signerRival.ts', import.meta.url))
const CHAIN_ID = 7_001
const COMMAND_MAX_MS = 60_000
const HEIGHTS = 24
/** The signer is killed while these heights are voted on. */
const KILLED_AT = [8, 16]

const folder = mkdtempSync(join(tmpdir(), 'tributary-signer-e2e-'))
const dataDir = join(folder, 'signer')
const passwordFile = join(folder, 'password')
const url = `unix:${join(folder, 'socket')}`
const children = createChildren()
let publicKey: Hex
let signer: ChildProcess

beforeAll(async () => {
  writeFileSync(passwordFile, 'correct horse battery\n')
  const made = await runCommand(
    ['keys', 'new', '--json', '--kdf', 'pbkdf2', '--data-dir', dataDir, '--password-file', passwordFile],
    COMMAND_MAX_MS,
  )
  expect(made.code, made.stderr).toBe(0)
  publicKey = jsonLines(made.stdout)[0]?.publicKey as Hex
  signer = await startSigner()
})

afterAll(async () => {
  await children.close()
  rmSync(folder, { recursive: true, force: true })
})

async function startSigner(): Promise<ChildProcess> {
  const words = ['--data-dir', dataDir, '--chain-id', String(CHAIN_ID), '--listen', url, '--password-file', passwordFile]
  const { child, ready } = await children.start(['signer', ...words])
  expect(ready).toEqual({ ready: true, url, tokenFile: join(dataDir, 'signer.token'), publicKey, chainId: CHAIN_ID })
  return child
}

/** The next thing that a rival tells. */
function told<T>(rival: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('a rival ended'))
    rival.once('exit', onExit)
    rival.once('message', (message) => {
      rival.off('exit', onExit)
      resolve(message as T)
    })
  })
}

test('two processes with one signer, which is killed twice: what they are given is no evidence', async () => {
  const rivals = [0, 1].map((number) => {
    const words = [url, join(dataDir, 'signer.token'), String(CHAIN_ID), String(number)]
    return children.watch(fork(RIVAL, words, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }))
  })
  await Promise.all(rivals.map(told))
  const answers: RivalAnswer[] = []
  for (let height = 1; height <= HEIGHTS; height++) {
    const voted = Promise.all(rivals.map((rival) => told<RivalAnswer[]>(rival)))
    for (const rival of rivals) rival.send(height)
    if (KILLED_AT.includes(height)) {
      await end(signer, 'SIGKILL')
      signer = await startSigner()
    }
    answers.push(...(await voted).flat())
  }

  const key = parsePublicKey(publicKey)
  assert(key)
  const given = answers.flatMap(({ vote, signature }) => (signature === undefined ? [] : [{ vote, signature: signature as Hex }]))
  for (const { vote, signature } of given)
    expect(verifySignature(key, statementDigest({ chainId: CHAIN_ID, epoch: 0 }, vote), hexToBytes(signature))).toBe(true)
  const pairs = given.flatMap(({ vote: a }) => given.map(({ vote: b }) => [a, b] as const)).filter(([a, b]) => a.height === b.height)
  expect(pairs.filter(([a, b]) => isDoubleVote(a, b) || isAmnesia(a, b))).toEqual([])
  // It was a contest: each height has votes, and what was refused was asked for.
  expect(new Set(given.map(({ vote }) => vote.height)).size).toBeGreaterThan(HEIGHTS - 2 * KILLED_AT.length)
  expect(answers.filter(({ code }) => code === 'refused').length).toBeGreaterThan(HEIGHTS)
})

test('its files are for their owner alone, and a second signer does not start beside it', async () => {
  for (const name of ['validator.keystore.json', 'signer.token', 'signer/guard']) expect(statSync(join(dataDir, name)).mode & 0o077).toBe(0)
  expect(readFileSync(join(dataDir, 'signer', 'guard'))).toHaveLength(66)
  const words = [
    'signer',
    '--data-dir',
    dataDir,
    '--chain-id',
    String(CHAIN_ID),
    '--password-file',
    passwordFile,
    '--listen',
    'http://127.0.0.1:0',
  ]
  const second = await runCommand(words, COMMAND_MAX_MS)
  expect(second.code).toBe(1)
  expect(second.stderr).toContain('another process signs with the guard')
})

test('SIGTERM ends it in order, and takes the socket away', async () => {
  expect(await end(signer, 'SIGTERM')).toBe(0)
  expect(existsSync(join(folder, 'socket'))).toBe(false)
})

test.each([
  {
    it: 'a wrong password',
    words: ['--chain-id', '1'],
    password: 'another password',
    code: 1,
    says: 'KeystoreError: the password does not fit',
  },
  { it: 'no chain', words: [], password: 'correct horse battery', code: 2, says: '--chain-id N is required' },
  {
    it: 'an address of another machine',
    words: ['--listen', 'http://192.0.2.1:9700'],
    password: '',
    code: 2,
    says: 'http is for this machine alone',
  },
  {
    it: 'a guard below what was signed',
    words: ['--chain-id', '7001', '--above-height', '5'],
    password: '',
    code: 1,
    says: 'is there already',
  },
])('it does not start with $it', async ({ words, password, code, says }) => {
  writeFileSync(join(folder, 'other'), password === '' ? 'correct horse battery' : password)
  const ended = await runCommand(['signer', '--data-dir', dataDir, '--password-file', join(folder, 'other'), ...words], COMMAND_MAX_MS)
  expect({ code: ended.code, says: ended.stderr.includes(says) }, ended.stderr).toEqual({ code, says: true })
})
