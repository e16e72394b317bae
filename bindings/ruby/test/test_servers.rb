# frozen_string_literal: true

require_relative "helper"
require "json"
require "net/http"
require "socket"

# Prefork servers, as the examples configure them: one worker tends, and if it is killed
# another one takes over.
class TestServers < Minitest::Test
  include Fixtures

  EXAMPLES = File.expand_path("../examples", __dir__)

  def test_puma
    puma = tool("puma")
    serve([*puma, "--quiet", "--config", "#{EXAMPLES}/puma.rb", "#{EXAMPLES}/config.ru"]) { take_turns }
  end

  def test_a_phased_restart_of_puma
    puma = tool("puma")
    serve([*puma, "--quiet", "--config", "#{EXAMPLES}/puma.rb", "#{EXAMPLES}/config.ru"], "TENDMAP_PHASED" => "1") do |server|
      before = wait_until("two workers answer") { found = answers; found.keys if found.size == 2 && found.key("owner") }
      Process.kill("USR1", server)
      wait_until("both workers are new") do
        found = answers
        found.size == 2 && (found.keys & before).empty? && found.key("owner")
      end
    end
  end

  def test_puma_that_connects_before_it_forks
    puma = tool("puma")
    serve([*puma, "--quiet", "--config", "#{EXAMPLES}/puma.rb", "#{EXAMPLES}/config.ru"], "TENDMAP_EARLY" => "1") do |server|
      roles = wait_until("two workers answer") { found = answers; found if found.size == 2 }
      assert_empty roles.values - %w[follower standby]
      assert_equal server, Tendmap.status(shm_directory: @directory)[:owner_pid]
    end
  end

  def test_unicorn
    unicorn = tool("unicorn")
    serve([*unicorn, "--config-file", "#{EXAMPLES}/unicorn.rb", "#{EXAMPLES}/config.ru"]) { take_turns }
  end

  private

  def tool(name)
    found = ENV.fetch("PATH").split(":").map { |folder| File.join(folder, name) }.find { |path| File.executable?(path) }
    found ? [RbConfig.ruby, found] : skipped("no #{name} is installed here")
  end

  def serve(command, **environment)
    @socket = "#{@directory}/http.sock"
    environment = {
      "RUBYLIB" => [*include_path.last, ENV["RUBYLIB"]].compact.join(":"), "TENDMAP_HOSTS" => @cluster.hosts.join(","),
      "TENDMAP_DIRECTORY" => @directory, "TENDMAP_BIND" => @socket, **environment.transform_keys(&:to_s)
    }
    @log = "#{@directory}/log"
    server = spawn(environment, *command, out: @log, err: %i[child out], chdir: @directory)
    yield server
  rescue Minitest::Assertion
    puts File.read(@log)
    raise
  ensure
    if server
      Process.kill("TERM", server)
      Timeout.timeout(60) { Process.wait server }
    end
  end

  # What the application answers: the worker's pid, its role and the node.
  def answer
    socket = UNIXSocket.new(@socket)
    socket.write "GET / HTTP/1.0\r\n\r\n"
    # Empty if the worker was killed when it had just accepted the connection.
    body = Timeout.timeout(10) { socket.read }.split("\r\n\r\n", 2).last.to_s
    JSON.parse(body, symbolize_names: true)
  rescue SystemCallError, JSON::ParserError, Timeout::Error
    nil
  ensure
    socket&.close
  end

  # The roles of the workers by pid.
  def answers
    Array.new(20) { answer }.compact.each { |found| assert_equal expected, found[:node] }
         .to_h { |found| [found[:pid], found[:role]] }
  end

  # Asked once: during a restart there may be no worker, and then no segment either.
  def expected
    @expected ||= Tendmap::Reader.open(shm_directory: @directory) { |reader| reader.route("test", "users", 42).address }
  end

  def take_turns
    first = wait_until("a worker tends") { answers.key("owner") }
    Process.kill(9, first)
    second = wait_until("another worker tends") { found = answers.key("owner"); found if found != first }
    refute_equal first, second
    wait_until("there are two workers again") { answers.size == 2 }
    assert_operator Tendmap.status(shm_directory: @directory)[:term], :>=, 2
  end
end
