/**
 * The further validators of a devnet: each a process of its own (`tributary node`) with a folder below the devnet's, on a port that it keeps. They end
 * with the devnet, in whatever way that ends: their standard input is its.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { peerIdOfSeed } from '../p2p/host.ts'
import { readJsonFile } from './jsonFile.ts'
import { loadKeyMaterial, loadValidatorKey, type ValidatorKey } from './keys.ts'
import type { Log } from './log.ts'
import { parseMembers } from './signerWire.ts'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
/** Longest that a validator may take to be ready, and to end. */
const READY_MAX_MS = 60_000
const STOP_MAX_MS = 15_000
/** Ports that are read from a file. */
const MEMBERS_MAX = 128

/** A validator's place in a devnet. */
export type Member = {
  readonly dataDir: string
  readonly key: ValidatorKey
  readonly p2pPort: number
  /** Multiaddr by which the others reach it. */
  readonly address: string
}

/** One that runs. */
export type DevnetValidator = {
  readonly rpc: string
  readonly p2p: string
  readonly pid: number
  readonly dataDir: string
  /** What `node` was called with: it can be started again by hand. */
  readonly args: readonly string[]
}

/**
 * The validators of the devnet in this folder, the first living in the folder itself: as many as it was begun with, else `count`. Keys and ports are made
 * where there are none. Throws DataFileError if the file that says how many is damaged.
 */
export async function devnetMembers(
  dataDir: string,
  { count, host, port }: { count: number; host: string; port: number },
): Promise<readonly Member[]> {
  const file = join(dataDir, 'validators.json')
  const kept = readJsonFile(file, `{"p2pPorts":[…]} with 1 to ${MEMBERS_MAX} ports`, portsOf)
  const p2pPorts = kept ?? (await freePorts(host, count, port))
  if (kept === undefined && count > 1) writeFileSync(file, `${JSON.stringify({ p2pPorts })}\n`)
  return Promise.all(
    p2pPorts.map(async (p2pPort, i) => {
      const folder = i === 0 ? dataDir : join(dataDir, 'validators', String(i))
      mkdirSync(folder, { recursive: true })
      const key = loadValidatorKey(folder, { create: true })
      const id = await peerIdOfSeed(loadKeyMaterial(join(folder, 'p2p.key'), { create: true }))
      const address = `/ip${host.includes(':') ? 6 : 4}/${host}/tcp/${p2pPort}/p2p/${id}`
      return { dataDir: folder, key, p2pPort, address }
    }),
  )
}

function portsOf({ p2pPorts }: Readonly<Record<string, unknown>>): readonly number[] | undefined {
  const isPort = (port: unknown): port is number => typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65_536
  const isList = Array.isArray(p2pPorts) && p2pPorts.length > 0 && p2pPorts.length <= MEMBERS_MAX && p2pPorts.every(isPort)
  return isList && new Set(p2pPorts).size === p2pPorts.length ? p2pPorts : undefined
}

export type DevnetValidatorsOptions = {
  readonly members: readonly Member[]
  readonly l1Url: string
  readonly genesisFile: string
  readonly host: string
  readonly logLevel: string
  readonly log: Log
}

/** Starts all members but the first. Rejects if one does not come up; those that did are stopped. */
export async function startDevnetValidators(
  options: DevnetValidatorsOptions,
): Promise<{ validators: readonly DevnetValidator[]; stop(): Promise<void> }> {
  const children: ChildProcess[] = []
  const stop = async () => {
    await Promise.all(children.map(end))
  }
  try {
    const validators = await Promise.all(options.members.slice(1).map((member) => startOne(member, options, children)))
    return { validators, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startOne(member: Member, options: DevnetValidatorsOptions, children: ChildProcess[]): Promise<DevnetValidator> {
  const { members, l1Url, genesisFile, host, logLevel, log } = options
  const { dataDir, p2pPort, address } = member
  writeFileSync(join(dataDir, 'genesis.json'), readFileSync(genesisFile))
  const others = members.filter((other) => other !== member).map((other) => other.address)
  const args = [
    ...['--json', '--log-level', logLevel, '--l1', l1Url, '--data-dir', dataDir, '--rpc-port', '0', '--da', 'none'],
    ...['--p2p-host', host, '--p2p-port', String(p2pPort), '--bootstrap', others.join(',')],
  ]
  const file = join(dataDir, 'node.log')
  const output = openSync(file, 'a')
  const child = spawn(process.execPath, [MAIN, 'node', ...args, '--end-with-stdin'], { stdio: ['pipe', 'pipe', output] })
  closeSync(output)
  children.push(child)
  const { rpc } = await readyLine(child, file)
  child.once('exit', (code, signal) => log.warn('a validator has ended', { dataDir, code, signal }))
  log.info('validator started', { dataDir, rpc, pid: child.pid })
  return { rpc, p2p: address, pid: child.pid ?? 0, dataDir, args }
}

/** The line with `ready`; what comes after it is let go. */
function readyLine(child: ChildProcess, logFile: string): Promise<{ readonly rpc: string }> {
  return new Promise((resolve, reject) => {
    let printed = ''
    const fail = (why: string) => reject(new Error(`a validator ${why}: see ${logFile}`))
    const timer = setTimeout(() => fail(`is not ready after ${READY_MAX_MS / 1_000} s`), READY_MAX_MS)
    const read = (chunk: Buffer) => {
      printed += chunk.toString()
      const line = /^\{"ready":true.*\}$/m.exec(printed)?.[0]
      if (line === undefined) return
      clearTimeout(timer)
      child.stdout?.off('data', read).resume()
      const rpc = parseMembers(line)?.rpc
      if (typeof rpc === 'string') resolve({ rpc })
      else fail('does not say where it answers')
    }
    child.stdout?.on('data', read)
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      fail(`ended with code ${code}`)
    })
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const exit = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGCONT') // one that was halted hears nothing else
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MAX_MS)
  await exit
  clearTimeout(timer)
}

/** Ports that are free now; the first is the one that is wanted, if one is. */
async function freePorts(host: string, count: number, wanted: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, (_, i) => {
      const server = createServer()
      return new Promise<typeof server>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ host, port: i === 0 ? wanted : 0 }, () => resolve(server))
      })
    }),
  )
  const ports = servers.map((server) => (server.address() as { readonly port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
