/** An ERC-4337 bundler, Pimlico's Alto, serves user operations: of an account that its factory makes on the way, and of an EIP-7702 one that has no ether. */
import { tmpdir } from 'node:os'
import { concatHex, encodeDeployData, encodeFunctionData, getContractAddress, type Hex, http, parseAbi, parseEther, zeroHash } from 'viem'
import {
  createBundlerClient,
  entryPoint08Abi,
  entryPoint08Address,
  getUserOperationTypedData,
  toSimple7702SmartAccount,
  toSmartAccount,
} from 'viem/account-abstraction'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { DEPLOYMENT_PROXY } from '../../genesis/params.ts'
import { type Devnet, freePort, startDevnet } from '../e2e/devnet.ts'
import { type L2Client, l2Client, until } from '../e2e/stage.ts'
import { type Program, startProgram, toolBinary, toolJson } from './tools.ts'

const STRANGER: Hex = '0x00000000000000000000000000000000000c0dea'
/** With this the entry point of version 0.8 is where it is on every chain. */
const ENTRY_POINT_SALT = '0x0a59dbff790c23c976a548690c27297883cc66b4c67024f9117b0238995e35e9'
const ALTO_WAIT_MAX_MS = 120_000
const FACTORY_ABI = parseAbi([
  'constructor(address entryPoint)',
  'function createAccount(address owner, uint256 salt) returns (address)',
  'function getAddress(address owner, uint256 salt) view returns (address)',
])
const ENTRY_POINT = { abi: entryPoint08Abi, address: entryPoint08Address } as const
const ACCOUNT_ABI = parseAbi(['function execute(address target, uint256 value, bytes data)'])

let devnet: Devnet
let client: L2Client
let alto: Program
let bundlerUrl: string
let factory: Hex
let implementation: Hex

beforeAll(async () => {
  devnet = await startDevnet()
  client = l2Client(devnet.ready().rpc, 0)
  const entryPoint = artifact('EntryPoint').bytecode
  expect(getContractAddress({ opcode: 'CREATE2', from: DEPLOYMENT_PROXY, salt: ENTRY_POINT_SALT, bytecode: entryPoint })).toBe(
    entryPoint08Address,
  )
  await deploy(ENTRY_POINT_SALT, entryPoint)
  const { bytecode } = artifact('SimpleAccountFactory')
  factory = await deploy(zeroHash, encodeDeployData({ abi: FACTORY_ABI, bytecode, args: [entryPoint08Address] }))
  implementation = await deploy(zeroHash, artifact('Simple7702Account').bytecode)
  await startAlto()
})

afterAll(async () => {
  await alto?.stop()
  await devnet.close()
})

test('an account that its first operation makes pays for it and sends value', async () => {
  const account = await simpleAccount(generatePrivateKey())
  await included(client.sendTransaction({ to: account.address, value: parseEther('1') }))
  const bundler = bundlerOf()
  const send = async (value: bigint) => {
    const hash = await bundler.sendUserOperation({ account, calls: [{ to: STRANGER, value }] })
    return bundler.waitForUserOperationReceipt({ hash, timeout: ALTO_WAIT_MAX_MS })
  }
  const [first, second] = [await send(11n), await send(12n)]
  expect([first.success, second.success, first.sender]).toEqual([true, true, account.address])
  expect(await client.getBalance({ address: STRANGER })).toBe(23n)
  const deposit = await client.readContract({ ...ENTRY_POINT, functionName: 'balanceOf', args: [account.address] })
  const left = deposit + (await client.getBalance({ address: account.address }))
  expect(left).toBe(parseEther('1') - 23n - first.actualGasCost - second.actualGasCost)
  const { receipt } = first
  expect(await client.getTransactionReceipt({ hash: receipt.transactionHash })).toMatchObject({
    status: 'success',
    blockHash: receipt.blockHash,
  })
})

test('a key becomes an account by what it signs, and its operation is in the same transaction', async () => {
  const owner = privateKeyToAccount(generatePrivateKey())
  const account = await toSimple7702SmartAccount({ client, owner, implementation })
  await included(client.sendTransaction({ to: owner.address, value: parseEther('1') }))
  const authorization = await owner.signAuthorization({ address: implementation, chainId: client.chain.id, nonce: 0 })
  const bundler = bundlerOf()
  const hash = await bundler.sendUserOperation({ account, authorization, calls: [{ to: STRANGER, value: 5n }] })
  const { success, receipt } = await bundler.waitForUserOperationReceipt({ hash, timeout: ALTO_WAIT_MAX_MS })
  expect(success).toBe(true)
  expect(await client.getTransaction({ hash: receipt.transactionHash })).toMatchObject({ type: 'eip7702' })
  expect(await client.getCode({ address: owner.address })).toBe(concatHex(['0xef0100', implementation]).toLowerCase())
})

function artifact(name: string): { readonly bytecode: Hex } {
  return toolJson(`@account-abstraction/contracts/artifacts/${name}.json`)
}

async function deploy(salt: Hex, bytecode: Hex): Promise<Hex> {
  await included(client.sendTransaction({ to: DEPLOYMENT_PROXY, data: concatHex([salt, bytecode]) }))
  return getContractAddress({ opcode: 'CREATE2', from: DEPLOYMENT_PROXY, salt, bytecode })
}

async function included(sent: Promise<Hex>): Promise<void> {
  expect(await client.waitForTransactionReceipt({ hash: await sent })).toMatchObject({ status: 'success' })
}

async function startAlto(): Promise<void> {
  const port = await freePort()
  bundlerUrl = `http://127.0.0.1:${port}`
  const [, executor = '', utility = ''] = DEVNET_KEYS
  const args = [
    ...['--entrypoints', entryPoint08Address, '--rpc-url', devnet.ready().rpc, '--port', String(port), '--safe-mode', 'false'],
    ...['--executor-private-keys', executor, '--utility-private-key', utility, '--min-executor-balance', '0', '--block-time', '200'],
  ]
  alto = startProgram(toolBinary('alto'), args, { cwd: tmpdir() })
  await until(
    'the bundler',
    async () => {
      if (alto.exitCode() !== undefined) throw new Error(`Alto ended:\n${alto.output().slice(-8_000)}`)
      return fetch(`${bundlerUrl}/health`).then(
        ({ ok }) => ok || undefined,
        () => undefined,
      )
    },
    ALTO_WAIT_MAX_MS,
  )
}

function bundlerOf() {
  return createBundlerClient({ client, transport: http(bundlerUrl, { retryCount: 0, timeout: ALTO_WAIT_MAX_MS }), pollingInterval: 200 })
}

/** The entry point's sample account, as its factory makes it. */
async function simpleAccount(key: Hex) {
  const owner = privateKeyToAccount(key)
  const args = [owner.address, 0n] as const
  const address = await client.readContract({ address: factory, abi: FACTORY_ABI, functionName: 'getAddress', args })
  return toSmartAccount({
    client,
    entryPoint: { ...ENTRY_POINT, version: '0.8' },
    getAddress: async () => address,
    getFactoryArgs: async () => ({ factory, factoryData: encodeFunctionData({ abi: FACTORY_ABI, functionName: 'createAccount', args }) }),
    encodeCalls: async ([call]) =>
      encodeFunctionData({ abi: ACCOUNT_ABI, functionName: 'execute', args: [call?.to ?? '0x', call?.value ?? 0n, call?.data ?? '0x'] }),
    // One of another text is as long, and has the same work done.
    getStubSignature: () => owner.signMessage({ message: 'stub' }),
    signMessage: ({ message }) => owner.signMessage({ message }),
    signTypedData: (data) => owner.signTypedData(data as never),
    signUserOperation: (userOperation) => {
      const { chainId = client.chain.id, ...operation } = { ...userOperation, sender: address }
      return owner.signTypedData(getUserOperationTypedData({ chainId, entryPointAddress: ENTRY_POINT.address, userOperation: operation }))
    },
  })
}
