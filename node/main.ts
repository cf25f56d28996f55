/**
 * The entry: argv and environment → a command (node/commands.ts). What Node compiles is kept in node_modules, so that the next start takes half the time:
 * the program is loaded only after Node was told where, and threads are told by the environment.
 */
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../node_modules/.cache/tributary', import.meta.url))
enableCompileCache(process.env.NODE_COMPILE_CACHE)
const { runCommand } = await import('./commands.ts')
process.exitCode = await runCommand(process.argv.slice(2), process.env)
