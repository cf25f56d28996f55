/** The tools that people have, as they are, against a running node: Foundry's cast, viem, ethers, over HTTP and WebSocket. */
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { verifyMerkleProof } from '@ethereumjs/mpt'
import { RLP } from '@ethereumjs/rlp'
import { Contract, ContractFactory, JsonRpcProvider, Wallet } from 'ethers'
import {
  concatHex,
  createPublicClient,
  encodeDeployData,
  encodeFunctionData,
  getContractAddress,
  type Hex,
  hexToBytes,
  numberToHex,
  parseAbiItem,
  parseEther,
  parseEventLogs,
  toHex,
  webSocket,
  zeroHash,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTokenBytecode } from '../../contracts/artifacts.ts'
import { verifyLedgerProof } from '../../execution/ledger/proof.ts'
import { accounts } from '../../execution/ledger/tables.ts'
import { DEVNET_KEYS, DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { DEPLOYMENT_PROXY, DOOR, OPEN_SUPPLY_WEI } from '../../genesis/params.ts'
import { openTokenAbi } from '../../settlement/abi.ts'
import { commitmentsOf } from './roots.ts'
import { devnetAccount, type L2Client, l2Client, lower, type Stage, startStage, until } from './stage.ts'

/** Longest that one command of cast may take. */
const CAST_MAX_MS = 60_000
/** Of the LEDGER door's account: nothing is in it. */
const EMPTY_SLOT = numberToHex(9, { size: 32 })
const STRANGER: Hex = '0x00000000000000000000000000000000000c0de5'

let stage: Stage
let rpc: string

beforeAll(async () => {
  stage = await startStage()
  rpc = stage.devnet.ready().rpc
})

afterAll(() => stage.close())

// Each test has an account of its own, so that their nonces do not meet.

test.concurrent('cast moves value, deploys a contract, calls it, and reads what became of it', async () => {
  const [me, key] = [devnetAccount(0).address, DEVNET_KEYS[0] ?? '']
  const send = async (...args: string[]) => JSON.parse(await cast('send', '--json', '--private-key', key, ...args)) as Record<string, Hex>
  expect(await cast('chain-id')).toBe(String(DEVNET_PARAMS.chainId))

  const moved = await send(STRANGER, '--value', '1ether')
  expect(moved).toMatchObject({ status: '0x1', gasUsed: '0x5208', from: lower(me), to: STRANGER })
  expect(await cast('balance', STRANGER)).toBe(parseEther('1').toString())

  const deployed = await send('--create', openTokenBytecode, 'constructor(address)', me)
  const token = deployed.contractAddress ?? '0x'
  expect(await cast('code', token)).toMatch(/^0x[0-9a-f]{1000,}$/)
  expect(await cast('call', token, 'symbol()(string)')).toBe('"OPEN"')

  const transferred = await send(token, 'transfer(address,uint256)', STRANGER, '5')
  expect(transferred.status).toBe('0x1')
  expect(await cast('call', token, 'balanceOf(address)(uint256)', STRANGER)).toBe('5')
  const logs = JSON.parse(await cast('logs', '--json', '--address', token, 'Transfer(address,address,uint256)', '--from-block', '0'))
  expect(logs).toMatchObject([
    { transactionHash: deployed.transactionHash },
    { transactionHash: transferred.transactionHash, data: toHex(5n, { size: 32 }) },
  ])

  const block = JSON.parse(await cast('block', '--json', '--full', transferred.blockNumber ?? ''))
  expect(block.transactions).toContainEqual(expect.objectContaining({ hash: transferred.transactionHash, to: token }))
  expect(await cast('nonce', me)).toBe('3')
  await expect(cast('call', token, 'transfer(address,uint256)', STRANGER, '5', '--from', STRANGER, '--block', '0')).resolves.toBe('0x')
})

test.concurrent('cast reads a native transaction and an L1 deposit beside the Ethereum ones', async () => {
  const client = l2Client(rpc, 1)
  const hash = await client.transfer({ to: STRANGER, amount: 7n })
  const { blockNumber } = await client.waitForTransactionReceipt({ hash })
  const tx = JSON.parse(await cast('tx', '--json', hash))
  expect(tx).toMatchObject({ hash, type: '0x50', from: lower(client.account.address), to: DOOR.ledger, nativeType: 'Transfer' })
  expect(JSON.parse(await cast('receipt', '--json', hash))).toMatchObject({ status: '0x1', type: '0x50', to: DOOR.ledger })
  const block = JSON.parse(await cast('block', '--json', '--full', blockNumber.toString()))
  expect(block.transactions).toContainEqual(expect.objectContaining({ hash, type: '0x50' }))
  const l1Info = await until('a block with a new L1 origin', async () => {
    const found = await client.getBlock({ includeTransactions: true })
    return found.transactions.find(({ type }) => type === 'deposit')
  })
  expect(JSON.parse(await cast('tx', '--json', l1Info.hash))).toMatchObject({ hash: l1Info.hash, type: '0x7e', to: DOOR.ledger })
})

test.concurrent('viem deploys a contract and calls it; blocks, receipts, logs and fees are as it expects them', async () => {
  const client = l2Client(rpc, 2)
  const me = client.account.address
  const deployment = await client.waitForTransactionReceipt({
    hash: await client.deployContract({ abi: openTokenAbi, bytecode: openTokenBytecode, args: [me] }),
  })
  const address = getContractAddress({ from: me, nonce: 0n })
  expect(deployment).toMatchObject({ status: 'success', contractAddress: lower(address), to: null })

  const token = { address, abi: openTokenAbi } as const
  const hash = await client.writeContract({ ...token, functionName: 'transfer', args: [STRANGER, 11n] })
  const receipt = await client.waitForTransactionReceipt({ hash })
  const [log] = parseEventLogs({ abi: openTokenAbi, eventName: 'Transfer', logs: receipt.logs })
  expect(log?.args).toEqual({ from: me, to: expect.stringMatching(new RegExp(STRANGER, 'i')), value: 11n })
  expect(await client.readContract({ ...token, functionName: 'balanceOf', args: [STRANGER] })).toBe(11n)

  const block = await client.getBlock({ blockHash: receipt.blockHash, includeTransactions: true })
  const included = block.transactions.find((tx) => tx.hash === hash)
  expect(included).toMatchObject({ type: 'eip1559', blockNumber: receipt.blockNumber, from: lower(me), to: lower(address) })
  expect(block.gasUsed).toBeGreaterThanOrEqual(receipt.gasUsed)
  expect(await client.getTransaction({ hash })).toMatchObject({ hash, transactionIndex: receipt.transactionIndex })
  const events = await client.getContractEvents({ ...token, eventName: 'Transfer', args: { to: STRANGER }, fromBlock: 0n })
  expect(events.map(({ transactionHash }) => transactionHash)).toEqual([hash])

  const { maxFeePerGas, maxPriorityFeePerGas } = await client.estimateFeesPerGas()
  expect(maxFeePerGas).toBeGreaterThan(maxPriorityFeePerGas)
  const history = await client.getFeeHistory({ blockCount: 2, rewardPercentiles: [50] })
  expect([history.baseFeePerGas.length, history.gasUsedRatio.length]).toEqual([3, 2])
  await expect(client.simulateContract({ ...token, functionName: 'transfer', args: [STRANGER, OPEN_SUPPLY_WEI] })).rejects.toThrow(
    'ERC20InsufficientBalance',
  )
  await expect(client.sendTransaction({ to: STRANGER, value: parseEther('2000000') })).rejects.toThrow(/insufficient funds/)
})

test.concurrent('the predeployed tools work: one address for a contract on every chain, and many reads in one call', async () => {
  const client = l2Client(rpc, 3)
  const me = client.account.address
  const bytecode = encodeDeployData({ abi: openTokenAbi, bytecode: openTokenBytecode, args: [me] })
  const address = getContractAddress({ opcode: 'CREATE2', from: DEPLOYMENT_PROXY, salt: zeroHash, bytecode })
  const hash = await client.sendTransaction({ to: DEPLOYMENT_PROXY, data: concatHex([zeroHash, bytecode]) })
  expect(await client.waitForTransactionReceipt({ hash })).toMatchObject({ status: 'success' })
  const token = { address, abi: openTokenAbi } as const
  const results = await client.multicall({
    contracts: [
      { ...token, functionName: 'totalSupply' },
      { ...token, functionName: 'balanceOf', args: [me] },
      { ...token, functionName: 'symbol' },
      { address: STRANGER, abi: openTokenAbi, functionName: 'symbol' },
    ],
  })
  expect(results.slice(0, 3).map(({ result }) => result)).toEqual([OPEN_SUPPLY_WEI, OPEN_SUPPLY_WEI, 'OPEN'])
  expect(results[3]?.status).toBe('failure')
})

test.concurrent('ethers deploys a contract and calls it, and reads a block with native transactions in it', async () => {
  const provider = new JsonRpcProvider(rpc, DEVNET_PARAMS.chainId, {
    staticNetwork: true,
    polling: true,
    pollingInterval: 100,
    cacheTimeout: -1,
  })
  try {
    const wallet = new Wallet(DEVNET_KEYS[4] ?? '', provider)
    const factory = new ContractFactory(openTokenAbi as never, openTokenBytecode, wallet)
    const deployed = await (await factory.deploy(wallet.address)).waitForDeployment()
    const token = new Contract(await deployed.getAddress(), openTokenAbi as never, wallet)
    const [sent, moved] = [
      await token.getFunction('transfer').send(STRANGER, 13n),
      await wallet.sendTransaction({ to: STRANGER, value: 1n }),
    ]
    const [receipt, plain] = [await sent.wait(), await moved.wait()]
    expect([receipt?.status, plain?.status, plain?.gasUsed]).toEqual([1, 1, 21_000n])
    expect(await token.getFunction('balanceOf')(STRANGER)).toBe(13n)
    const [event] = await token.queryFilter('Transfer', receipt?.blockNumber, receipt?.blockNumber)
    expect(event?.transactionHash).toBe(receipt?.hash)

    const client = l2Client(rpc, 4)
    const native = await client.waitForTransactionReceipt({ hash: await client.transfer({ to: STRANGER, amount: 1n }) })
    const block = await provider.getBlock(Number(native.blockNumber), true)
    expect(block?.getPrefetchedTransaction(native.transactionHash)).toMatchObject({
      type: 0x50,
      to: expect.stringMatching(new RegExp(DOOR.ledger, 'i')),
    })
    expect(await provider.getTransactionReceipt(native.transactionHash)).toMatchObject({ status: 1, type: 0x50 })
    const fees = await provider.getFeeData()
    expect(fees.maxFeePerGas).toBeGreaterThan(fees.maxPriorityFeePerGas ?? 0n)
    await expect(wallet.sendTransaction({ to: STRANGER, value: parseEther('2000000') })).rejects.toMatchObject({
      code: 'INSUFFICIENT_FUNDS',
    })
    await expect(token.getFunction('transfer').staticCall(STRANGER, OPEN_SUPPLY_WEI)).rejects.toMatchObject({ code: 'CALL_EXCEPTION' })
  } finally {
    provider.destroy()
  }
})

test.concurrent('over WebSocket viem hears of each block once and in order, and of the logs it asked for', async () => {
  const client = l2Client(rpc, 5)
  const socket = createPublicClient({
    chain: client.chain,
    transport: webSocket(stage.devnet.ready().ws, { retryCount: 0, reconnect: false }),
  })
  const heads: bigint[] = []
  const heard: string[] = []
  const errors: Error[] = []
  const event = parseAbiItem('event Transferred(address indexed from, address indexed to, uint8 kind, uint96 amount)')
  const unwatch = [
    socket.watchBlocks({ onBlock: (block) => heads.push(block?.number ?? -1n), onError: (error) => errors.push(error) }),
    socket.watchEvent({
      address: DOOR.ledger,
      event,
      args: { from: client.account.address },
      onLogs: (logs) => heard.push(...logs.map(({ transactionHash }) => transactionHash)),
      onError: (error) => errors.push(error),
    }),
  ]
  try {
    await until('a first head', () => heads[0])
    const hash = await client.transfer({ to: STRANGER, amount: 3n })
    await until('the log', () => heard[0])
    expect(heard).toEqual([hash])
    await until('three heads', () => heads[2])
    expect(heads).toEqual(heads.map((_, i) => (heads[0] ?? 0n) + BigInt(i)))
    expect(errors).toEqual([])
    expect(await socket.getBlockNumber()).toBeGreaterThanOrEqual(heads.at(-1) ?? 0n)
  } finally {
    for (const end of unwatch) end()
    ;(await socket.transport.getRpcClient()).close()
  }
})

test.concurrent('an account, a slot and a ledger record are proven against a block hash with the tools of others', async () => {
  const client = l2Client(rpc, 6)
  const account = client.account.address
  const { blockNumber } = await client.waitForTransactionReceipt({ hash: await client.transfer({ to: STRANGER, amount: 5n }) })
  const { stateRoot } = await client.getBlock({ blockNumber })
  const own = await client.getProof({ address: account, storageKeys: [], blockNumber })
  expect(await provenAccount(stateRoot, account, own.accountProof)).toMatchObject({ balanceWei: own.balance, nonce: BigInt(own.nonce) })
  const absent = await client.getProof({ address: '0x00000000000000000000000000000000deadbeef', storageKeys: [], blockNumber })
  expect(await provenAccount(stateRoot, absent.address, absent.accountProof)).toBeUndefined()

  const nothing = await client.getProof({ address: account, storageKeys: [zeroHash], blockNumber })
  expect(nothing.storageProof).toEqual([{ key: zeroHash, value: 0n, proof: [] }])

  const door = await client.getProof({ address: DOOR.ledger, storageKeys: [zeroHash, EMPTY_SLOT], blockNumber })
  const { storageRoot } = (await provenAccount(stateRoot, DOOR.ledger, door.accountProof)) ?? {}
  const [slot, empty] = door.storageProof
  expect([empty?.value, await proven1186(storageRoot ?? '0x', EMPTY_SLOT, empty?.proof ?? [])]).toEqual([0n, null])
  const proven = await proven1186(storageRoot ?? '0x', zeroHash, slot?.proof ?? [])
  const ledgerRoot = toHex(RLP.decode(proven ?? new Uint8Array()) as Uint8Array, { size: 32 })
  expect(ledgerRoot).toBe(numberToHex(slot?.value ?? 0n, { size: 32 }))

  const proof = await client.getLedgerProof({ table: 'accounts', id: { account }, blockNumber })
  expect(verifyLedgerProof(ledgerRoot, proof)).toBe(true)
  const { nonce } = accounts.decode(hexToBytes(proof.record ?? '0x'))
  expect(nonce).toBe(1n)
  expect(verifyLedgerProof(ledgerRoot, { ...proof, record: undefined })).toBe(false)
})

test('many transactions of one sender are all included, each once and in order', async () => {
  const client: L2Client = l2Client(rpc, 7)
  const token = encodeFunctionData({ abi: openTokenAbi, functionName: 'symbol' })
  const gas = { gas: 100_000n, ...(await client.estimateFeesPerGas()) }
  const hashes = await Promise.all(
    Array.from({ length: 60 }, (_, nonce) => client.sendTransaction({ to: STRANGER, data: token, nonce, ...gas })),
  )
  const receipts = await Promise.all(hashes.map((hash) => client.waitForTransactionReceipt({ hash })))
  const places = receipts.map(({ blockNumber, transactionIndex }) => blockNumber * 100_000n + BigInt(transactionIndex))
  expect(places).toEqual([...places].sort((a, b) => Number(a - b)))
  expect(new Set(places).size).toBe(60)
  expect(await client.getTransactionCount({ address: client.account.address })).toBe(60)
})

test('of every block the hash, the roots and the bloom follow from the other answers, whatever is in it', async () => {
  const client = l2Client(rpc, 6)
  const { address } = client.account
  const fees = { gas: 100_000n, gasPrice: 2_000_000_000n, to: STRANGER, value: 1n }
  const authorization = await client.signAuthorization({ contractAddress: DEPLOYMENT_PROXY, executor: 'self' })
  const nonce = await client.getTransactionCount({ address })
  const hashes = await Promise.all([
    client.sendTransaction({ ...fees, nonce, type: 'legacy' }),
    client.sendTransaction({ ...fees, nonce: nonce + 1, type: 'eip2930', accessList: [{ address, storageKeys: [zeroHash] }] }),
    client.sendTransaction({
      to: STRANGER,
      nonce: nonce + 2,
      gas: 100_000n,
      authorizationList: [{ ...authorization, nonce: nonce + 3 }] as never,
    }),
    client.createDatanet({ name: 'poems', licence: 3 }),
  ])
  const receipts = await Promise.all(hashes.map((hash) => client.waitForTransactionReceipt({ hash })))
  const last = receipts.reduce((most, { blockNumber }) => (blockNumber > most ? blockNumber : most), 0n)
  const types = new Set<string>()
  for (let number = 0n; number <= last; number++) {
    const block = await commitmentsOf(client, number)
    expect(block.made, `block ${number}`).toEqual(block.said)
    for (const type of block.types) types.add(type)
  }
  expect([...types].sort()).toEqual(['deposit', 'eip1559', 'eip2930', 'eip7702', 'legacy', 'native'])
})

/** Runs Foundry's cast, from npm, against the node. Answers what it printed; rejects with its error. */
async function cast(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(castBinary(), [command, '--rpc-url', rpc, ...args], { timeout: CAST_MAX_MS })
  return stdout.trim()
}

// The binary itself and not the package's launcher, so that the time limit ends cast and not a process in front of it.
function castBinary(): string {
  const launcher = createRequire(createRequire(import.meta.url).resolve('@foundry-rs/cast/package.json'))
  const arch = process.arch === 'x64' ? 'amd64' : process.arch
  return launcher.resolve(`@foundry-rs/cast-${process.platform}-${arch}/bin/cast${process.platform === 'win32' ? '.exe' : ''}`)
}

/** What a key of a Merkle-Patricia trie is shown to hold; null: nothing. */
function proven1186(root: Hex, key: Hex, proof: readonly Hex[]): Promise<Uint8Array | null> {
  return verifyMerkleProof(
    hexToBytes(key),
    proof.map((node) => hexToBytes(node)),
    { root: hexToBytes(root), useKeyHashing: true },
  )
}

async function provenAccount(root: Hex, address: Hex, proof: readonly Hex[]) {
  const value = await proven1186(root, address, proof)
  if (value === null) return undefined
  const [nonce, balance, storageRoot] = RLP.decode(value) as [Uint8Array, Uint8Array, Uint8Array]
  return { nonce: integer(nonce), balanceWei: integer(balance), storageRoot: toHex(storageRoot) }
}

/** An integer of RLP: no bytes are zero. */
function integer(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(toHex(bytes))
}
